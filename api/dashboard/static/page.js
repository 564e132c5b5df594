// Replaces the living part of the page every two seconds; says so when the server is away.
const EVERY_MS = 2000;
const live = document.getElementById("live");
const freshness = document.getElementById("freshness");

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/dashboard/live", { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(answer.statusText);
    live.innerHTML = await answer.text();
    freshness.textContent = "live";
    freshness.className = "";
  } catch {
    freshness.textContent = "no answer; trying again";
    freshness.className = "stale";
  }
}

setInterval(refresh, EVERY_MS);
document.addEventListener("visibilitychange", refresh);
