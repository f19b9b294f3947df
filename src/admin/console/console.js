// The NOC console: asks the admin API and shows what it says. Everything goes into the page as text, never as HTML, so a
// name that a peer chose stays a name. A table is built anew only when its rows have changed, and keeps the focus.
"use strict";

const $ = (id) => document.getElementById(id);
let token = sessionStorage.getItem("token");
let role = "read";
const shown = {};

// ---- the API

async function call(path, method = "GET", body) {
  const headers = { Authorization: "Bearer " + token };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch("/api/v1/" + path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Error("The gateway can't be reached; what is shown is old.");
  }
  const answer = await response.json();
  if (!response.ok) {
    if (response.status === 401) signOut();
    throw new Error(answer.error.message);
  }
  return answer;
}

function tell(error, done) {
  $("problem").textContent = error ? error.message : "";
  $("problem").hidden = !error;
  $("done").textContent = done || "";
  $("done").hidden = !done;
}

async function attempt(work, done) {
  try { const said = await work(); tell(null, done || (typeof said === "string" ? said : "")); } catch (error) { tell(error); }
}

// ---- building blocks; `text` is never read as HTML

function make(tag, text, kind) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function row(body, cells, levers = []) {
  const tr = body.insertRow();
  const heads = body.parentElement.tHead.rows[0].cells;
  cells.forEach((content, place) => {
    const cell = make(place === 0 ? "th" : "td");
    if (place === 0) cell.scope = "row"; else cell.dataset.label = heads[place].textContent;
    if (content instanceof Node) cell.append(content); else cell.textContent = content;
    tr.append(cell);
  });
  if (heads.length > cells.length) {
    const cell = make("td", undefined, "levers");
    for (const lever of levers) cell.append(lever, " ");
    tr.append(cell);
  }
}

function nothing(body, text) {
  const cell = body.insertRow().insertCell();
  cell.className = "none";
  cell.colSpan = body.parentElement.tHead.rows[0].cells.length;
  cell.textContent = text;
}

function tableOf(heads, label) {
  const table = make("table");
  table.setAttribute("aria-labelledby", label);
  const line = table.createTHead().insertRow();
  for (const head of heads) {
    const cell = make("th", head);
    cell.scope = "col";
    line.append(cell);
  }
  table.createTBody();
  return table;
}

function list(texts) {
  const ul = make("ul");
  for (const text of texts) ul.append(text instanceof Node ? text : make("li", text));
  return ul;
}

function button(name, label, work, key) {
  const element = make("button", name);
  element.type = "button";
  element.setAttribute("aria-label", label);
  element.dataset.key = key || label;
  element.onclick = work;
  return element;
}

// Builds a part of the page anew when what it shows has changed.
function show(id, value, build) {
  const text = JSON.stringify(value);
  if (shown[id] === text) return;
  shown[id] = text;
  const body = $(id);
  const key = body.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  body.replaceChildren();
  build(body, value);
  if (!key) return;
  const same = [...body.querySelectorAll("[data-key]")].find((element) => element.dataset.key === key);
  // What was focused may be gone; the keyboard stays in its section.
  const title = body.closest("section").querySelector("h2");
  title.tabIndex = -1;
  (same || title).focus();
}

function ask(title, name, wantsReason, effect) {
  const dialog = $("ask");
  $("asktitle").textContent = title;
  $("yes").textContent = name;
  $("effect").textContent = effect || "";
  $("effect").hidden = !effect;
  $("reasonbox").hidden = !wantsReason;
  $("reason").value = "";
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "yes" ? { reason: $("reason").value } : null);
  });
}

// What a lever does, said before it is pulled.
const EFFECTS = {
  Suspend: "Nothing goes out and nothing is taken until it is resumed, also over a restart. Messages that may wait wait.",
  Resume: "What waits goes out at once.",
  Reconnect: "The sessions are closed and opened anew.",
  Hold: "It waits until somebody releases it, at most until its validity ends.",
  Release: "It is tried at once.",
  Retry: "It is sent again. If the peer had taken it after all, it may arrive twice.",
  Discard: "It is gone for good. The sender of a message is told that it will not arrive, with the reason; a reason is needed.",
  "Hold all": "What waits in the queue stays, and what comes waits behind it, until it is released, also over a restart.",
  "Release all": "What waits in the queue goes out.",
};

// A button that changes something: asks first, does it, shows the new state.
function lever(name, label, path, method, wantsReason, key) {
  return button(name, label, async () => {
    const answer = await ask(label + "?", name, wantsReason, EFFECTS[name]);
    if (!answer) return;
    await attempt(async () => {
      await call(path, method, wantsReason ? answer : undefined);
      await refresh();
    }, label + ": done");
  }, key);
}

function age(seconds) {
  if (seconds < 120) return seconds + " s";
  if (seconds < 7200) return Math.round(seconds / 60) + " min";
  if (seconds < 172800) return Math.round(seconds / 3600) + " h";
  return Math.round(seconds / 86400) + " days";
}

function time(millis) {
  return millis ? new Date(millis).toISOString().slice(0, 19).replace("T", " ") + " UTC" : "–";
}

function sayTime(duration) {
  return duration.secs * 1000 + Math.round(duration.nanos / 1e6) + " ms";
}

const mayOperate = () => role !== "read";

// ---- the parts of the page

function tiles(body, { peers, queues, status }) {
  const tile = (count, text, kind) => {
    const box = make("div", undefined, "tile " + kind);
    box.append(make("b", String(count)), make("span", text));
    body.append(box);
  };
  const sessions = peers.reduce((sum, peer) => sum + peer.open_sessions, 0);
  const up = peers.filter((peer) => peer.up).length;
  const waiting = queues.filter((queue) => queue.place !== "dead").reduce((sum, queue) => sum + queue.count, 0);
  const dead = queues.filter((queue) => queue.place === "dead").reduce((sum, queue) => sum + queue.count, 0);
  tile(up + " of " + peers.length, "peers up", up === peers.length ? "good" : "warn");
  tile(sessions, sessions === 1 ? "session open" : "sessions open", "good");
  tile(waiting, "items wait", waiting ? "warn" : "good");
  tile(dead, "items need a person", dead ? "bad" : "good");
  tile(status.routing.numbers, "numbers with a known route", "good");
  const days = (status.certificates || []).map((one) => one.days_left);
  if (days.length) {
    const least = Math.min(...days);
    tile(least, "days until a certificate ends", least < 7 ? "bad" : least < 30 ? "warn" : "good");
  }
}

function peerRows(body, peers) {
  if (!peers.length) nothing(body, "There is no agreement with anybody.");
  for (const peer of peers) {
    const path = "peers/" + encodeURIComponent(peer.peer);
    const kind = peer.suspended ? "warn" : peer.up ? "good" : "bad";
    const state = make("span", peer.suspended ? "suspended" : peer.up ? "up" : "down", "badge " + kind);
    const sessions = peer.sessions.map((one) => {
      const line = make("li", one.own + " ↔ " + one.theirs + ": ");
      line.append(make("span", one.state, one.state === "open" ? "" : "badge bad"));
      if (one.since) line.append(make("span", " since " + time(one.since), "dim"));
      if (one.under_way) line.append(", " + one.under_way + " under way");
      return line;
    });
    const states = make("div");
    states.append(state);
    if (peer.suspended) states.append(" by " + peer.suspended);
    if (peer.pace && peer.pace.is_cut) {
      states.append(make("div", "slow or refusing: " + peer.pace.most_in_flight + " at once, " + peer.pace.per_second + " a second", "dim"));
    }
    const levers = [];
    if (mayOperate()) {
      if (peer.suspended) levers.push(lever("Resume", "Resume " + peer.peer, path + "/resume", "POST", false, "switch " + peer.peer));
      else levers.push(lever("Suspend", "Suspend " + peer.peer, path + "/suspend", "POST", true, "switch " + peer.peer));
      levers.push(lever("Reconnect", "Reconnect " + peer.peer, path + "/reconnect", "POST"));
    }
    const links = make("div");
    links.append(sessions.length ? list(sessions) : "none; the first request opens one");
    if (peer.nodes.length > 1) links.append(atEachNode(peer));
    row(body, [peer.peer, states, links, peer.set_aside.length ? list(peer.set_aside) : "–"], levers);
  }
}

// The peers whose nodes are shown, over refreshes.
const unfolded = new Set();

// How a peer stands at each node.
function atEachNode(peer) {
  const box = make("details");
  box.open = unfolded.has(peer.peer);
  box.ontoggle = () => { if (box.open) unfolded.add(peer.peer); else unfolded.delete(peer.peer); };
  const head = make("summary", "at each of " + peer.nodes.length + " nodes");
  head.setAttribute("aria-label", "How " + peer.peer + " stands at each of " + peer.nodes.length + " nodes");
  head.dataset.key = "nodes " + peer.peer;
  box.append(head, list(peer.nodes.map((node) => {
    const said = [node.sessions.reduce((sum, one) => sum + one.under_way, 0) + " under way"];
    if (node.pace) {
      said.push(node.pace.in_flight + " of " + node.pace.most_in_flight + " deliveries at once, " + node.pace.per_second + " a second");
      if (node.pace.failed) said.push(node.pace.failed + " failed");
      if (node.pace.last_failure) said.push("the last at " + time(node.pace.last_failure.at) + ": " + node.pace.last_failure.reason);
    }
    const line = make("li");
    line.append(make("b", node.node), ": " + said.join("; "));
    return line;
  })));
  return box;
}

function nodeRows(body, nodes) {
  for (const node of nodes) {
    const kind = { up: "good", draining: "warn", "not ready": "warn" }[node.state] || "bad";
    const state = make("span");
    state.append(make("span", node.state, "badge " + kind));
    if (node.reason) state.append(" " + node.reason);
    const lease = node.lease_left_seconds === null ? "–" : node.lease_left_seconds + " s left";
    row(body, [node.node + (node.is_asked ? " (asked)" : ""), state, node.version, time(node.since), make("span", node.address || "–", "whole"), make("span", lease, "whole"), node.holds.length ? list(node.holds) : "–"]);
  }
}

function silentNodes(body, silent) {
  for (const one of silent) body.append(make("li", one.node + " did not answer: what it has under way isn't shown (" + one.reason + ")"));
}

function queueRows(body, { queues, held }) {
  if (!queues.length && !held.length) nothing(body, "Nothing waits.");
  const holds = new Map(held.map((one) => [one.queue, one]));
  const switches = (name) => {
    if (!mayOperate()) return [];
    const path = "queues/" + encodeURIComponent(name);
    return holds.has(name)
      ? [lever("Release all", "Release all of " + name, path + "/release", "POST", false, "hold " + name)]
      : [lever("Hold all", "Hold all of " + name, path + "/hold", "POST", true, "hold " + name)];
  };
  const seen = new Set();
  for (const one of held) {
    if (queues.some((queue) => queue.queue === one.queue)) continue;
    row(body, [one.queue, make("span", "held by " + one.by, "badge warn"), 0, "–"], switches(one.queue));
  }
  for (const queue of queues) {
    const place = make("span", queue.place, "badge " + (queue.place === "dead" ? "bad" : queue.place === "held" ? "warn" : ""));
    const label = "Show " + queue.place + " items of " + queue.queue;
    const open = button("Show", label, () => attempt(() => showItems(queue.queue, queue.place, true)));
    const first = !seen.has(queue.queue);
    seen.add(queue.queue);
    const name = make("span", queue.queue);
    const hold = holds.get(queue.queue);
    if (first && hold) name.append(make("div", "held by " + hold.by, "dim"));
    row(body, [name, place, queue.count, age(queue.oldest_seconds)], first ? [open, ...switches(queue.queue)] : [open]);
  }
}

let openItems = null;

async function showItems(queue, place, focus) {
  openItems = { queue, place };
  const { items } = await call("items?" + new URLSearchParams({ queue, place, limit: "100" }));
  $("itembox").hidden = false;
  $("h-items").textContent = place + " items of " + queue;
  show("items", items, (body) => {
    if (!items.length) nothing(body, "There is none any more.");
    const possible = { scheduled: ["hold", "discard"], awaiting: ["discard"], held: ["release", "discard"], dead: ["retry", "discard"] };
    for (const item of items) {
      const levers = (mayOperate() ? possible[item.place] || [] : []).map((action) =>
        lever(action[0].toUpperCase() + action.slice(1), action + " item " + item.id, "items/" + item.id + "/" + action, "POST", action === "hold" || action === "discard"));
      const name = make("span", String(item.id));
      if (item.labels && item.labels.length) name.append(make("div", item.labels.join(", "), "dim"));
      row(body, [name, time(item.created), time(item.expires), item.attempts, item.last_failure || "–"], levers);
    }
  });
  if (focus) $("h-items").focus();
}

function certRows(body, certificates) {
  if (!certificates.length) nothing(body, "None: [ssp] has no TLS.");
  for (const one of certificates) {
    const kind = one.days_left < 7 ? "bad" : one.days_left < 30 ? "warn" : "good";
    row(body, [one.subject, one.names.join(", "), one.issuer, time(one.not_after), make("span", one.days_left + " days", "badge " + kind)]);
  }
}

function routeWay(body, answer) {
  body.append(make("p", answer.decision, "decision " + (answer.found ? "good" : "bad")));
  if (answer.user !== answer.address) body.append(make("p", "as " + answer.user));
  const way = make("ol", undefined, "way");
  for (const step of answer.steps) {
    const line = make("li");
    const left = step.ttl ? ", " + (step.ttl.secs ? age(step.ttl.secs) + " left" : "used once") : "";
    line.append(make("span", step.question, "mono"), make("span", "  from " + step.source + left, "dim"));
    const lines = make("ul");
    for (const one of step.answer) lines.append(make("li", one, "mono"));
    for (const one of step.passed_over) lines.append(make("li", "passed over: " + one, "mono over"));
    line.append(lines);
    way.append(line);
  }
  body.append(way);
  const servers = (answer.plan && answer.plan.servers) || [];
  if (servers.length) {
    body.append(make("h3", "Servers"));
    body.append(list(servers.map((one) => "priority " + one.priority + ", weight " + one.weight + ": " + one.host + ":" + one.port + " (" + (one.addresses.join(", ") || "no address") + ")")));
  }
}

// An event of a trail in one line.
function eventText(event) {
  switch (event.event) {
    case "received": return event.request + " from " + event.from + " by " + event.protocol + ": " + (event.sender || "–") + (event.recipients.length ? " to " + event.recipients.join(", ") : "");
    case "checked": return "holds: " + event.clause;
    case "routed": return event.recipient + " goes to " + event.decision;
    case "attempt": return event.to + " by " + event.protocol + (event.server ? " at " + event.server : "") + ": " + (event.failure ? "failed: " + event.failure : "taken");
    case "stored": return "stored: " + event.reason;
    case "refused": return "refused: " + event.reason;
    case "answered": return "answered: " + event.outcome;
    case "note": return event.text;
    default: return JSON.stringify(event);
  }
}

function trailList(body, found) {
  if (!found.trails.length && !found.summaries.length) body.append(make("p", "Nothing is known of it."));
  found.trails.forEach((trail, place) => {
    const box = make("details");
    box.open = place === 0;
    const last = trail.steps[trail.steps.length - 1];
    const first = trail.steps[0];
    const head = make("summary", time(trail.started) + "  " + (first ? eventText(first.event) : ""));
    if (last) head.append(make("span", "  " + eventText(last.event), "dim"));
    const table = make("table");
    for (const step of trail.steps) {
      const line = table.insertRow();
      const ms = line.insertCell();
      ms.className = "ms";
      ms.textContent = "+" + sayTime(step.after);
      line.append(make("td", step.stop, "stop"));
      line.insertCell().textContent = eventText(step.event);
    }
    box.append(head, make("p", "trail " + trail.id, "mono dim"), table);
    body.append(box);
  });
  if (found.summaries.length) {
    const title = make("h3", "In one line each");
    title.id = "h-summaries";
    const table = tableOf(["Trail", "Started", "From", "Request", "Sender", "Recipient", "Outcome"], title.id);
    for (const one of found.summaries) {
      const id = make("span", one.id, "mono");
      row(table.tBodies[0], [id, time(one.started), one.from, one.request, one.sender || "–", one.recipient || "–", one.outcome]);
    }
    body.append(title, table);
  }
}

function stats(routing) {
  $("stats").textContent = routing.numbers + " numbers, " + routing.domains + " domains, " + routing.facts + " DNS answers (" +
    Math.ceil(routing.fact_octets / 1024) + " KiB); " + routing.queries + " DNS queries, " + routing.temporary + " failures and " +
    routing.stale + " stale answers since the start";
}

// ---- the page as a whole

async function refresh() {
  const [status, { peers, silent_nodes }, { queues, held }, { nodes }] =
    await Promise.all([call("status"), call("peers"), call("queues"), call("nodes")]);
  role = status.role;
  $("node").textContent = status.node + " · " + status.version + " · you: " + role;
  $("state").textContent = status.ready ? "ready" : "not ready: " + status.not_ready.join("; ");
  $("state").className = "badge " + (status.ready ? "good" : "bad");
  $("updated").textContent = "as of " + time(status.now).slice(11, 19) + " UTC";
  document.title = (peers.every((peer) => peer.up) ? "" : "(!) ") + status.node + " – impsgw";
  show("tiles", { peers, queues, status: { routing: { numbers: status.routing.numbers }, certificates: status.certificates } }, tiles);
  show("peers", [peers, role], (body) => peerRows(body, peers));
  show("silent", silent_nodes, silentNodes);
  for (const id of ["s-nodes", "n-nodes"]) $(id).hidden = nodes.length < 2;
  show("nodes", nodes, nodeRows);
  show("queues", { queues, held, role }, queueRows);
  show("certs", status.certificates || [], certRows);
  stats(status.routing);
  for (const id of ["flush", "follow"]) $(id).hidden = !mayOperate();
  if (openItems) await showItems(openItems.queue, openItems.place, false);
}

function signedIn(is) {
  for (const id of ["main", "logout", "livebox", "state", "updated"]) $(id).hidden = !is;
  $("login").hidden = is;
}

function signOut() {
  token = null;
  sessionStorage.removeItem("token");
  for (const id of ["routed", "traced", "entries", "items"]) $(id).replaceChildren();
  signedIn(false);
  $("token").focus();
}

async function signIn() {
  await refresh();
  signedIn(true);
  asked();
}

$("login").onsubmit = (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  $("token").value = "";
  sessionStorage.setItem("token", token);
  attempt(async () => { await signIn(); $("main").focus(); });
};
$("logout").onclick = signOut;
// Cancel is no submit button, so that Enter in the reason means yes.
$("no").onclick = () => $("ask").close("no");

$("route").onsubmit = (event) => {
  event.preventDefault();
  attempt(async () => {
    const answer = await call("route?" + new URLSearchParams(new FormData(event.target)));
    $("routed").replaceChildren();
    routeWay($("routed"), answer);
    history.replaceState(null, "", "#" + new URLSearchParams({ route: answer.address }));
  });
};

$("trace").onsubmit = (event) => {
  event.preventDefault();
  attempt(async () => {
    const word = new FormData(event.target).get("word").trim();
    const found = await call("trace?" + new URLSearchParams(/^[0-9a-f]{16}$/.test(word) ? { id: word } : { word }));
    $("traced").replaceChildren();
    trailList($("traced"), found);
    history.replaceState(null, "", "#" + new URLSearchParams({ trace: word }));
  });
};
$("follow").onclick = () => attempt(async () => {
  const address = new FormData($("trace")).get("word").trim();
  const answer = await call("follow", "POST", { address, for: "10m" });
  return "Every request about " + answer.address + " is kept in full for 10 minutes.";
});

function cacheConditions() {
  const wanted = new URLSearchParams();
  for (const [key, value] of new FormData($("cache"))) if (value) wanted.set(key, value);
  return wanted;
}

async function listCache() {
  const wanted = cacheConditions();
  wanted.set("limit", "200");
  const { entries } = await call("cache?" + wanted);
  $("cachetable").hidden = false;
  const body = $("entries");
  body.replaceChildren();
  if (!entries.length) nothing(body, "No entries.");
  for (const one of entries) {
    const kind = { fresh: "good", stale: "warn", dead: "warn", negative: "", failed: "bad" }[one.state];
    const name = make("span", one.name, "mono");
    row(body, [one.kind + (one.service ? " for " + one.service : ""), name, make("span", one.state, "badge " + kind), age(one.ttl), list(one.records.map((text) => make("li", text, "mono")))]);
  }
}
$("cache").onsubmit = (event) => { event.preventDefault(); attempt(listCache); };
$("flush").onclick = async () => {
  const wanted = cacheConditions();
  const what = [...wanted].map(([key, value]) => key + " " + value).join(", ") || "everything";
  if (!wanted.size) wanted.set("all", "true");
  if (!await ask("Flush " + what + "?", "Flush", false)) return;
  attempt(async () => {
    const { flushed, unreached_nodes } = await call("cache?" + wanted, "DELETE");
    await listCache();
    const later = (unreached_nodes || []).map((node) => "; " + node + " was not reached, and forgets them with its next heartbeat");
    return flushed + " entries forgotten" + later.join("");
  });
};

// A link such as /#token=… signs in; the part behind # is never sent, and is removed at once. /#route=… and /#trace=… ask, so
// that a ticket can hold a link to an answer.
const given = new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B"));
if (given.get("token")) {
  token = given.get("token");
  sessionStorage.setItem("token", token);
  given.delete("token");
  history.replaceState(null, "", location.pathname + (given.size ? "#" + given : ""));
}
function asked() {
  for (const [form, field] of [["route", "address"], ["trace", "word"]]) {
    if (!given.get(form)) continue;
    $(form).elements[field].value = given.get(form);
    $(form).requestSubmit();
  }
  given.delete("route");
  given.delete("trace");
}
if (token) attempt(signIn);
setInterval(() => {
  if (token && !$("main").hidden && $("live").checked && !document.hidden && !$("ask").open) {
    refresh().then(() => { $("problem").hidden = true; }, tell);
  }
}, 3000);
