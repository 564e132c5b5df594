"""The policies by name."""

from collections.abc import Callable

from evals.policies.aimd import Aimd
from evals.policies.alex import Alex
from evals.policies.backoff import Backoff
from evals.policies.ewma import Ewma
from evals.policies.fixed import AlwaysLeast, Fixed
from evals.policies.learn import LearnAndCrawl
from evals.policies.mimd import Mimd
from evals.policies.policy import Policy, Setting
from evals.policies.volley import Volley
from evals.policies.windowed import Windowed

FIXED = "fixed"
TEXTBOOK: dict[str, Callable[[Setting], Policy]] = {
    FIXED: Fixed,
    "always-min": AlwaysLeast,
    "aimd": Aimd,
    "mimd": Mimd,
    "alex": Alex,
    "backoff": Backoff,
    "window+root": Windowed,
    "ewma+root": Ewma,
    "volley": Volley,
    "learn+crawl": LearnAndCrawl,
}
