"""The tools by name: one list for the agent, the prompt and the docs."""

from tools import concluding, proposing, proposing_rules, reading

READING = {
    "get_latest_response": reading.get_latest_response,
    "get_response_history": reading.get_response_history,
    "get_sibling_latest_responses": reading.get_sibling_latest_responses,
}
PROPOSING = {
    "propose_interval": proposing.propose_interval,
    "propose_next_time": proposing.propose_next_time,
    "pause_until": proposing.pause_until,
    "clear_hints": proposing.clear_hints,
    "propose_rule": proposing_rules.propose_rule,
}
CONCLUDING = {"conclude": concluding.conclude}
CATALOGUE = {**READING, **PROPOSING, **CONCLUDING}
