// Times in the viewer's zone, the theme's button, and live updates. Every page works without this file.
const root = document.documentElement;

// The server's clock, as far as this page knows: ages and countdowns are counted by it.
let ahead = root.dataset.now ? Date.parse(root.dataset.now) - Date.now() : 0;
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const pad = (number) => String(number).padStart(2, "0");

function span(seconds) {
  const parts = [];
  let left = Math.max(1, Math.round(seconds));
  for (const [size, unit] of UNITS) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count) parts.push(`${count} ${unit}`);
  }
  return parts.slice(0, 2).join(" ");
}

function relative(at, isDue) {
  const seconds = (at - Date.now() - ahead) / 1000;
  if (isDue && seconds < 1) return "now";
  if (Math.abs(seconds) < 1) return "now";
  return seconds > 0 ? `in ${span(seconds)}` : `${span(-seconds)} ago`;
}

function local(element) {
  const at = new Date(element.dateTime);
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  const clock = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  const manner = element.dataset.manner;
  const text = manner === "relative" || manner === "due" ? relative(at, manner === "due") : manner === "clock" ? clock : `${day} ${clock}`;
  if (element.textContent !== text) element.textContent = text;
}

// A time axis is labelled as finely as the server chose: 14:05, or 14:05:30; days stay as they are.
function label(element) {
  const at = new Date(element.dataset.at);
  const parts = element.textContent.split(":").length;
  if (parts > 1) element.textContent = [at.getHours(), at.getMinutes(), at.getSeconds()].slice(0, parts).map(pad).join(":");
}

function localise(scope) {
  for (const element of scope.querySelectorAll("text[data-at]")) label(element);
  for (const element of scope.querySelectorAll("time[data-manner]")) local(element);
}

localise(document);
setInterval(() => {
  for (const element of document.querySelectorAll('time[data-manner="relative"], time[data-manner="due"]')) local(element);
}, 1000);
document.addEventListener("htmx:after:swap", () => localise(document));

// auto -> the other of what the system shows -> auto
const dark = matchMedia("(prefers-color-scheme: dark)");
document.getElementById("theme")?.addEventListener("click", () => {
  if (root.dataset.theme) {
    delete root.dataset.theme;
    localStorage.removeItem("rubato-theme");
  } else {
    root.dataset.theme = dark.matches ? "light" : "dark";
    localStorage.setItem("rubato-theme", root.dataset.theme);
  }
});

// A select or box marked so sends its form by itself; without this file there is the form's button.
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-sends]")) event.target.form.requestSubmit();
});
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-closes]")) event.target.closest("details").open = false;
});

// Live: the server says that something changed, and the part of the page that may show it is asked for again.
const MIN_GAP_MS = 1000;
const live = document.querySelector("[data-live]");
const freshness = document.getElementById("freshness");
if (freshness) freshness.hidden = !live;
let waiting = null;
let last = 0;

function say(state, words) {
  if (!freshness) return;
  freshness.dataset.state = state;
  if (freshness.textContent !== words) freshness.textContent = words;
}

async function refresh() {
  waiting = null;
  if (document.hidden) return;
  last = Date.now();
  try {
    await htmx.ajax("GET", location.pathname + location.search, { target: "[data-live]", select: "[data-live]", swap: "outerMorph" });
  } catch {
    say("stale", "Reconnecting…");
  }
}

function changed(event) {
  const { jobIds, now } = JSON.parse(event.data);
  ahead = Date.parse(now) - Date.now();
  const region = document.querySelector("[data-live]");
  if (!region || (region.dataset.live && jobIds && !jobIds.includes(region.dataset.live))) return;
  if (waiting === null) waiting = setTimeout(refresh, Math.max(0, last + MIN_GAP_MS - Date.now()));
}

if (live && window.EventSource) {
  const events = new EventSource("/events");
  events.addEventListener("open", () => say("live", "Live"));
  events.addEventListener("error", () => say("stale", "Reconnecting…"));
  events.addEventListener("changed", changed);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
}
