// The NOC console: asks the admin API and shows what it says. Everything goes into the page as text, never as HTML.
"use strict";

const $ = (id) => document.getElementById(id);
let token = sessionStorage.getItem("token");
let role = "read";

async function call(path, method = "GET", body) {
  const headers = { Authorization: "Bearer " + token };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch("/api/v1/" + path, { method, headers, body: body && JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) {
    if (response.status === 401) signOut();
    throw new Error(answer.error.message);
  }
  return answer;
}

function tell(error) {
  $("problem").textContent = error ? error.message : "";
  $("problem").hidden = !error;
}

async function attempt(work) {
  try { await work(); tell(); } catch (error) { tell(error); }
}

function cell(row, text, kind) {
  const td = row.insertCell();
  td.textContent = text;
  if (kind) td.className = kind;
  return td;
}

function lever(td, name, work) {
  if (role === "read") return;
  const button = document.createElement("button");
  button.textContent = name;
  button.onclick = () => {
    if (confirm(name + "?")) attempt(async () => { await work(); await refresh(); });
  };
  td.append(button);
}

function age(seconds) {
  if (seconds < 120) return seconds + " s";
  if (seconds < 7200) return Math.round(seconds / 60) + " min";
  return Math.round(seconds / 3600) + " h";
}

function showPeers(peers) {
  $("peers").replaceChildren();
  for (const peer of peers) {
    const row = $("peers").insertRow();
    const path = "peers/" + encodeURIComponent(peer.peer);
    cell(row, peer.peer);
    cell(row, peer.protocol);
    cell(row, peer.suspended ? "suspended by " + peer.suspended : peer.up ? "up" : "down", peer.up ? "good" : "bad");
    cell(row, peer.sessions.map((one) => one.own + " – " + one.theirs + ": " + one.state).join("; ") || "none");
    cell(row, peer.set_aside.join("; "));
    const levers = cell(row, "");
    if (peer.suspended) lever(levers, "Resume " + peer.peer, () => call(path + "/resume", "POST"));
    else lever(levers, "Suspend " + peer.peer, () => call(path + "/suspend", "POST", { reason: "console" }));
    lever(levers, "Reconnect " + peer.peer, () => call(path + "/reconnect", "POST"));
  }
}

function showQueues(queues) {
  $("queues").replaceChildren();
  for (const queue of queues) {
    const row = $("queues").insertRow();
    cell(row, queue.queue);
    cell(row, queue.place, queue.place === "dead" ? "bad" : "");
    cell(row, queue.count);
    cell(row, age(queue.oldest_seconds));
    const show = document.createElement("button");
    show.textContent = "Show";
    show.onclick = () => attempt(() => showItems(queue.queue, queue.place));
    cell(row, "").append(show);
  }
}

async function showItems(queue, place) {
  const asked = new URLSearchParams({ queue, place, limit: "50" });
  const { items } = await call("items?" + asked);
  $("itemtable").hidden = false;
  $("items").replaceChildren();
  for (const item of items) {
    const row = $("items").insertRow();
    cell(row, item.id);
    cell(row, item.conversation);
    cell(row, item.attempts);
    cell(row, item.last_failure || "");
    const levers = cell(row, "");
    const actions = { scheduled: ["hold", "discard"], awaiting: ["hold", "discard"], held: ["release", "discard"], dead: ["retry", "discard"] };
    for (const action of actions[item.place] || []) {
      lever(levers, action + " " + item.id, async () => {
        await call("items/" + item.id + "/" + action, "POST");
        await showItems(queue, place);
      });
    }
  }
}

function traceText(found) {
  const lines = [];
  for (const trail of found.trails) {
    lines.push(trail.id + "  " + new Date(trail.started).toISOString());
    for (const step of trail.steps) {
      const { event, ...rest } = step.event;
      const ms = step.after.secs * 1000 + Math.round(step.after.nanos / 1e6);
      lines.push("  +" + ms + " ms  " + step.stop + "  " + event + "  " + JSON.stringify(rest));
    }
    lines.push("");
  }
  for (const one of found.summaries) {
    lines.push([one.id, new Date(one.started).toISOString(), one.from, one.request, one.sender, one.recipient, one.outcome].join("  "));
  }
  return lines.join("\n") || "Nothing is known of it.";
}

async function refresh() {
  const status = await call("status");
  role = status.role;
  $("node").textContent = status.node + (status.ready ? "" : " – not ready: " + status.not_ready.join("; "));
  showPeers((await call("peers")).peers);
  showQueues((await call("queues")).queues);
}

function signOut() {
  token = null;
  sessionStorage.removeItem("token");
  $("main").hidden = true;
  $("login").hidden = false;
  $("logout").hidden = true;
}

async function signIn() {
  await refresh();
  $("main").hidden = false;
  $("login").hidden = true;
  $("logout").hidden = false;
}

$("login").onsubmit = (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  $("token").value = "";
  sessionStorage.setItem("token", token);
  attempt(signIn);
};
$("logout").onclick = signOut;
$("route").onsubmit = (event) => {
  event.preventDefault();
  attempt(async () => {
    const asked = new URLSearchParams(new FormData(event.target));
    $("routed").textContent = (await call("route?" + asked)).text;
    $("routed").hidden = false;
  });
};
$("trace").onsubmit = (event) => {
  event.preventDefault();
  attempt(async () => {
    const word = new FormData(event.target).get("word").trim();
    const asked = new URLSearchParams(/^[0-9a-f]{16}$/.test(word) ? { id: word } : { word });
    $("traced").textContent = traceText(await call("trace?" + asked));
    $("traced").hidden = false;
  });
};
if (token) attempt(signIn);
setInterval(() => { if (token && !$("main").hidden) attempt(refresh); }, 5000);
