"""What the core asks of the world: one Protocol a file. Adapters in `rubato.adapters` implement them."""
