// Puts on the colours that this browser chose before anything is drawn; "auto" follows the system.
const chosen = localStorage.getItem("rubato-theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
