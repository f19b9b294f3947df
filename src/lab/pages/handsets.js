// The handsets of the lab: each is a client of its operator's subscriber API, with the events of its own stream. What
// people write goes into the page as text, never as HTML.

const MOODS = ["", "HAPPY", "SAD", "ANGRY", "JEALOUS", "ASHAMED", "INVINCIBLE", "IN_LOVE", "SLEEPY", "BORED", "EXCITED", "ANXIOUS"];
const SHOWN = ["OnlineStatus", "UserAvailability", "StatusText", "StatusMood"];
const KEPT = 200;

function make(tag, text, kind) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function button(name, label, work) {
  const element = make("button", name);
  element.type = "button";
  if (label) element.setAttribute("aria-label", label);
  element.addEventListener("click", work);
  return element;
}

const lower = (word) => word.toLowerCase().replaceAll("_", " ");
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// Server-sent events over fetch, which can carry a token; calls `take` with each until the stream ends.
async function readEvents(response, take) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "", event = {};
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value;
    for (let end; (end = buffer.indexOf("\n")) >= 0;) {
      const line = buffer.slice(0, end).replace(/\r$/, "");
      buffer = buffer.slice(end + 1);
      if (line === "") {
        if (event.data) take(event.event, JSON.parse(event.data), event.id);
        event = {};
      } else {
        const colon = line.indexOf(":");
        if (colon > 0) event[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, "");
      }
    }
  }
}

class Handset {
  constructor(person) {
    this.person = person;
    this.contacts = new Map();
    this.groups = new Map();
    this.names = new Map();
    this.unread = new Map();
    this.asks = new Map();
    this.logs = new Map(Object.entries(JSON.parse(sessionStorage.getItem("log" + person.number) || "{}")));
    this.open = null;
    const root = document.getElementById("phone").content.cloneNode(true).firstElementChild;
    this.root = root;
    this.parts = Object.fromEntries([...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
    const title = "phone" + person.number.slice(1);
    root.classList.add(person.operator);
    root.setAttribute("aria-labelledby", title);
    this.parts.name.id = title;
    this.parts.name.textContent = person.name;
    this.parts.number.textContent = person.number;
    this.parts.operator.textContent = person.operator;
    for (const mood of MOODS) {
      const option = make("option", mood ? lower(mood) : "no mood");
      option.value = mood;
      this.parts.mood.append(option);
    }
    this.on("own", () => this.setPresence(), "My presence is set");
    this.on("add", () => this.add());
    this.on("say", () => this.say());
    this.on("gather", () => this.gather());
    this.on("guests", () => this.inviteToGroup());
    this.parts.leave.addEventListener("click", () => this.attempt(() => this.leave(this.open)));
    this.parts.end.addEventListener("click", () => this.attempt(() => this.end(this.open)));
    this.parts.close.addEventListener("click", () => this.show(null));
    this.parts.invite.addEventListener("click", () => this.attempt(() => this.invite()));
    document.getElementById("phones").append(root);
  }

  // ---- the API

  async call(path, method = "GET", body) {
    const headers = { Authorization: "Bearer " + this.token };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const response = await fetch(`/${this.person.operator}/v1/${path}`, { method, headers, body: body && JSON.stringify(body) });
    if (response.status === 204) return null;
    const answer = await response.json();
    if (!response.ok) throw new Error(`${answer.error.text} (${answer.error.status})`);
    return answer;
  }

  on(part, work, done) {
    this.parts[part].addEventListener("submit", (event) => {
      event.preventDefault();
      this.attempt(work, done);
    });
  }

  async attempt(work, done) {
    this.tell("…");
    try { const said = await work(); this.tell(said || done || ""); } catch (error) { this.tell(error.message, true); }
  }

  tell(text, isBad = false) {
    this.parts.told.textContent = text;
    this.parts.told.classList.toggle("bad", isBad);
  }

  async start() {
    await this.logIn();
    const me = await this.call("me");
    this.me = me.address;
    this.user = me.user;
    await Promise.all([this.readContacts(), this.readGroups(), this.readOwn(), this.readWatchers()]);
    this.listen();
  }

  async logIn() {
    const key = "token" + this.person.number;
    this.token = sessionStorage.getItem(key);
    if (this.token) {
      try { await this.call("me"); return; } catch { this.token = null; }
    }
    const answer = await this.call("login", "POST", { user: this.person.number, password: this.person.password, device: "handset page" });
    this.token = answer.token;
    sessionStorage.setItem(key, answer.token);
  }

  async listen() {
    for (let pause = 500; ; pause = Math.min(pause * 2, 8000)) {
      try {
        const response = await fetch(`${streams[this.person.operator]}/v1/events`, { headers: { Authorization: "Bearer " + this.token } });
        if (response.ok) {
          this.setOnline(true);
          pause = 500;
          await readEvents(response, (kind, event) => this.happened(kind, event));
        }
      } catch { /* told by the dot, and tried again */ }
      this.setOnline(null);
      await sleep(pause);
    }
  }

  // ---- what happens

  happened(kind, event) {
    const ack = () => event.inbox_id && this.call(`inbox/${event.inbox_id}/ack`, "POST");
    const quietly = (work) => Promise.resolve(work()).catch((error) => this.tell(error.message, true));
    switch (kind) {
      case "message": this.received(event); quietly(ack); break;
      case "report": this.reported(event); quietly(ack); break;
      case "ready": if (this.wasReady) quietly(() => Promise.all([this.readContacts(), this.readGroups()])); this.wasReady = true; break;
      case "presence": this.seen(event); break;
      case "contact": if (this.isNews(event)) quietly(() => this.readContacts()); break;
      case "group-joined": this.entered(event); break;
      case "group-change": this.changed(event); break;
      case "group-left": this.gone(event); quietly(ack); break;
      case "notice": this.noticed(event, ack); break;
      case "watcher": this.watched(event); break;
      case "invitation": this.invited(event, ack); break;
      case "invitation-answer":
        this.line(event.by, { text: event.is_accepted ? "accepted the invitation" : "declined the invitation", note: event.note });
        quietly(ack);
        break;
      case "invitation-cancelled": this.asks.delete(event.invitation_id); this.showAsks(); quietly(ack); break;
    }
  }

  received(event) {
    const text = event.text ?? `[${event.media_type}]`;
    this.line(event.group || event.from, { id: "in" + event.inbox_id, text, from: event.screen_name });
  }

  // Whether another device of the person's changed the list.
  isNews(event) {
    const known = this.contacts.get(event.address);
    return event.is_removed ? Boolean(known) : known?.nickname !== event.nickname;
  }

  entered(event) {
    this.groups.set(event.group, { ...this.groups.get(event.group), ...event });
    if (event.welcome) this.line(event.group, { text: event.welcome, isNews: true });
    this.showGroups();
    this.showThere();
  }

  changed(event) {
    const group = this.groups.get(event.group);
    if (!group) return;
    if (event.topic !== null) group.topic = event.topic;
    group.names = group.names.filter((name) => !event.left.includes(name)).concat(event.joined);
    for (const name of event.joined) this.line(event.group, { text: `${name} came`, isNews: true });
    for (const name of event.left) this.line(event.group, { text: `${name} went`, isNews: true });
    this.showGroups();
    // Who is out by now is told by another event.
    if (this.open === event.group) this.lookInto(event.group).catch(() => this.showThere());
  }

  gone(event) {
    const name = this.nameOf(event.group);
    this.groups.delete(event.group);
    this.logs.delete(event.group);
    this.unread.delete(event.group);
    this.keepLogs();
    if (this.open === event.group) this.closeQuietly();
    this.showGroups();
    this.tell({ left: `I left ${name}`, removed: `I was put out of ${name}`, ended: `${name} has ended` }[event.why]);
  }

  reported(event) {
    for (const log of this.logs.values()) {
      const line = log.find((one) => one.mine && one.id === event.message_id);
      if (line) line.mark = event.is_delivered ? { text: this.groups.has(event.recipient) ? "✓✓ on its way to everybody" : "✓✓ delivered", kind: "good" } : { text: `✗ not delivered: ${event.text}`, kind: "bad" };
    }
    this.keepLogs();
    this.showLog();
  }

  seen(event) {
    const contact = this.contacts.get(event.address);
    if (contact) contact.presence = event;
    this.showContacts();
  }

  noticed(event, ack) {
    const key = "notice" + event.by;
    if (event.friendly_name) this.names.set(event.by, event.friendly_name);
    const done = async () => { this.asks.delete(key); this.showAsks(); await ack(); };
    const addBack = async () => { await this.addPerson(event.by, event.friendly_name || ""); await done(); };
    this.ask(key, () => {
      const levers = [button("OK", "Dismiss: " + event.text, () => this.attempt(done))];
      if (event.can_add_back) levers.unshift(button("Add back", `Add ${this.nameOf(event.by)} back`, () => this.attempt(addBack)));
      return { text: event.text, levers };
    });
  }

  watched(event) {
    if (event.attributes.length > 0) return this.tell(`${this.nameOf(event.address)} sees my presence now`);
    const key = "watcher" + event.address;
    const rights = (attributes, said) => this.attempt(async () => {
      await this.call("grants/" + encodeURIComponent(event.address), "PUT", { attributes });
      this.asks.delete(key);
      this.showAsks();
      return said;
    });
    this.ask(key, () => {
      const name = this.nameOf(event.address);
      return {
        text: `${name} asks to see my presence.`,
        levers: [
          button("Accept", `Accept: ${name} sees my presence`, () => rights(SHOWN, `${name} sees my presence now`)),
          button("Refuse", `Refuse: ${name} sees nothing`, () => rights([], `${name} sees nothing`)),
        ],
      };
    });
  }

  invited(event, ack) {
    const answer = (accept, said) => this.attempt(async () => {
      await this.call(`invitations/${encodeURIComponent(event.invitation_id)}/answer`, "POST", { accept });
      await ack();
      this.asks.delete(event.invitation_id);
      this.showAsks();
      if (accept && event.group) await this.readGroups();
      if (accept) this.show(event.group || event.by);
      return said;
    });
    this.ask(event.invitation_id, () => {
      const name = this.nameOf(event.by);
      return {
        text: `${name} invites me to a ${event.group ? "group" : "conversation"}${event.note ? `: “${event.note}”` : "."}`,
        levers: [button("Accept", `Accept ${name}'s invitation`, () => answer(true, "accepted")), button("Decline", `Decline ${name}'s invitation`, () => answer(false, "declined"))],
      };
    });
  }

  // ---- what the person does

  async setPresence() {
    const { availability, mood, status } = this.parts;
    await this.call("presence", "PUT", { attributes: { UserAvailability: availability.value, StatusMood: mood.value || null, StatusText: status.value || null } });
  }

  async add() {
    const said = await this.addPerson(this.parts.who.value.trim(), this.parts.nickname.value.trim());
    this.parts.add.reset();
    return said;
  }

  async addPerson(who, nickname) {
    const wanted = /^\+[0-9 ()./-]+$/.test(who) ? { number: who } : { address: who };
    if (nickname) wanted.nickname = nickname;
    const added = await this.call("contacts", "POST", wanted);
    await this.readContacts();
    const name = added.contact.nickname;
    if (added.search && !added.search.is_found) return `${name} is on my list; nobody has that number yet`;
    return added.was_there ? `${name} was on my list` : `${name} is on my list`;
  }

  async say() {
    const text = this.parts.text.value, to = this.open;
    this.parts.text.value = "";
    // The ID is the handset's own, because the report may be quicker than the answer.
    const line = { mine: true, id: crypto.randomUUID(), text, mark: { text: "…" } };
    this.line(to, line);
    try {
      const sent = await this.call("messages", "POST", { id: line.id, to: [to], text, report: true });
      const one = sent.recipients[0];
      if (line.mark.text === "…") {
        line.mark = one.error ? { text: `✗ ${one.error.text}`, kind: "bad" } : { text: one.accepted === "taken" ? "✓ taken" : "✓ kept until it can go" };
      }
    } catch (error) {
      line.mark = { text: `✗ ${error.message}`, kind: "bad" };
    }
    this.keepLogs();
    this.showLog();
  }

  async invite() {
    await this.call("invitations", "POST", { to: this.open, note: "Let us talk" });
    return `${this.nameOf(this.open)} is invited`;
  }

  async gather() {
    const opened = await this.call("groups", "POST", { topic: this.parts.topic.value.trim() });
    this.parts.gather.reset();
    await this.readGroups();
    this.show(opened.group);
    return `${this.nameOf(opened.group)} is open; invite somebody`;
  }

  async inviteToGroup() {
    const { invitations: [one] } = await this.call(groupPath(this.open, "invitations"), "POST", { to: [this.parts.guest.value.trim()] });
    if (one.error) throw new Error(`${one.error.text} (${one.error.status})`);
    this.parts.guests.reset();
    return `${this.nameOf(one.address)} is invited`;
  }

  async leave(group) {
    await this.call(groupPath(group, "leave"), "POST");
  }

  async end(group) {
    await this.call(groupPath(group), "DELETE");
  }

  async putOut(group, name, address) {
    await this.call(groupPath(group, "members/" + encodeURIComponent(address)), "DELETE");
    return `${name} is out of ${this.nameOf(group)}`;
  }

  async block(contact) {
    const path = "blocks/" + encodeURIComponent(contact.address);
    await this.call(path, contact.isBlocked ? "DELETE" : "PUT");
    await this.readContacts();
    return `${contact.nickname} is ${contact.isBlocked ? "no longer blocked" : "blocked"}`;
  }

  async remove(contact) {
    await this.call("contacts/" + encodeURIComponent(contact.address), "DELETE");
    if (this.open === contact.address) this.show(null);
    await this.readContacts();
    return `${contact.nickname} is off my list`;
  }

  // ---- what is read at the start, and shown

  async readContacts() {
    const [list, blocks] = await Promise.all([this.call("contacts"), this.call("blocks")]);
    const blocked = new Set(blocks.blocks.map((block) => block.address));
    const known = this.contacts;
    this.contacts = new Map();
    for (const contact of list.contacts) {
      contact.isBlocked = blocked.has(contact.address);
      contact.presence = contact.presence || known.get(contact.address)?.presence;
      this.contacts.set(contact.address, contact);
    }
    this.showContacts();
  }

  async readGroups() {
    const { groups } = await this.call("groups");
    const known = this.groups;
    this.groups = new Map(groups.map((group) => [group.group, { ...group, names: known.get(group.group)?.names || [] }]));
    await Promise.all(groups.map((group) => this.lookInto(group.group)));
    this.showGroups();
  }

  // Who is in a group; its server is asked, which may be another operator's.
  async lookInto(address) {
    const seen = await this.call(groupPath(address));
    const group = this.groups.get(address);
    if (!group) return;
    group.names = seen.joined.map((one) => one.screen_name);
    group.joined = seen.joined;
    this.showGroups();
    this.showThere();
  }

  isOwn(group) {
    return group.replace(/\/[^@]*/, "") === this.user;
  }

  async readOwn() {
    const { own } = await this.call("presence");
    const value = (name) => own.attributes.find((one) => one.name === name)?.value ?? "";
    this.parts.availability.value = value("UserAvailability") || "AVAILABLE";
    this.parts.mood.value = value("StatusMood");
    this.parts.status.value = value("StatusText");
  }

  async readWatchers() {
    const [list, grants] = await Promise.all([this.call("watchers"), this.call("grants")]);
    const settled = new Set(grants.grants.map((grant) => grant.address));
    for (const watcher of list.watchers) {
      if (watcher.attributes.length === 0 && !watcher.is_blocked && !settled.has(watcher.address)) this.watched(watcher);
    }
  }

  setOnline(isOnline) {
    this.parts.dot.className = isOnline ? "dot on" : "dot";
    this.parts.dot.title = isOnline ? "connected" : "not connected";
  }

  nameOf(address) {
    if (address.includes("/")) return this.groups.get(address)?.topic || "a group without a topic";
    return this.contacts.get(address)?.nickname || this.names.get(address) || address.replace(/^wv:/, "");
  }

  // Something that waits for the person; it is built anew when it is shown, since names become known.
  ask(key, build) {
    this.asks.set(key, build);
    this.showAsks();
  }

  showAsks() {
    const items = [...this.asks.values()].map((build) => {
      const { text, levers } = build();
      const item = make("li", text), row = make("div", undefined, "levers");
      row.append(...levers);
      item.append(row);
      return item;
    });
    this.renew("asks", items);
  }

  // Builds a list anew; the keyboard stays on the button that it was on, or on its handset when that is gone.
  renew(part, items) {
    const list = this.parts[part], focused = list.contains(document.activeElement) && document.activeElement.getAttribute("aria-label");
    list.replaceChildren(...items);
    if (focused) ([...list.querySelectorAll("button")].find((one) => one.getAttribute("aria-label") === focused) || this.parts.name).focus();
  }

  showContacts() {
    const items = [...this.contacts.values()].map((contact) => this.contactItem(contact));
    this.showAsks();
    this.renew("contacts", items.length ? items : [make("li", "Nobody yet.", "says")]);
  }

  contactItem(contact) {
    const item = make("li"), { nickname, presence } = contact;
    const [kind, words] = presenceWords(presence);
    const dot = make("span", undefined, "dot " + kind), who = make("span", nickname, "who");
    dot.setAttribute("aria-hidden", "true");
    const unread = this.unread.get(contact.address);
    if (unread) who.append(" ", make("span", `${unread} new`, "unread"));
    const levers = make("div", undefined, "levers");
    levers.append(
      button("Chat", `Chat with ${nickname}`, () => this.show(contact.address)),
      button(contact.isBlocked ? "Unblock" : "Block", `${contact.isBlocked ? "Unblock" : "Block"} ${nickname}`, () => this.attempt(() => this.block(contact))),
      button("✕", `Remove ${nickname}`, () => this.attempt(() => this.remove(contact))),
    );
    item.append(dot, who, levers, make("span", contact.isBlocked ? "blocked" : words, "says"));
    return item;
  }

  showGroups() {
    const items = [...this.groups].map(([address, group]) => {
      const item = make("li", undefined, "group"), name = this.nameOf(address), who = make("span", name, "who");
      const unread = this.unread.get(address);
      if (unread) who.append(" ", make("span", `${unread} new`, "unread"));
      const levers = make("div", undefined, "levers");
      levers.append(button("Chat", `Chat in ${name}`, () => this.show(address)));
      item.append(who, levers, make("span", group.names.join(", "), "says"));
      return item;
    });
    this.renew("groups", items.length ? items : [make("li", "None yet.", "says")]);
  }

  // Who is in the group that is open; its owner may put them out.
  showThere() {
    const group = this.groups.get(this.open);
    this.parts.invite.hidden = Boolean(group);
    for (const part of ["leave", "guests", "there"]) this.parts[part].hidden = !group;
    this.parts.end.hidden = !group || !this.isOwn(this.open);
    this.parts.guests.hidden = this.parts.end.hidden;
    const address = this.open;
    this.renew("there", (group?.joined || []).map((one) => {
      const isMe = one.screen_name === group.screen_name;
      const item = make("li", isMe ? `${one.screen_name} (I)` : one.screen_name);
      if (one.address && !isMe && this.isOwn(address)) {
        item.append(button("✕", `Put ${one.screen_name} out`, () => this.attempt(() => this.putOut(address, one.screen_name, one.address))));
      }
      return item;
    }));
  }

  show(address) {
    this.open = address;
    this.unread.delete(address);
    this.parts.chat.hidden = !address;
    this.showContacts();
    this.showGroups();
    this.showThere();
    this.showLog();
    if (address) this.parts.text.focus(); else this.parts.name.focus();
  }

  // As closing, when the person did not ask for it: the keyboard moves only if it was in what closes.
  closeQuietly() {
    if (this.parts.chat.contains(document.activeElement)) return this.show(null);
    this.open = null;
    this.parts.chat.hidden = true;
    this.showThere();
  }

  line(address, line) {
    const log = this.logs.get(address) || [];
    // What came twice over a broken connection is shown once.
    if (line.id && log.some((one) => one.id === line.id)) return;
    log.push(line);
    this.logs.set(address, log.slice(-KEPT));
    if (!line.mine && !line.isNews && this.open === null) this.openQuietly(address);
    else if (this.open !== address && !line.isNews) this.unread.set(address, (this.unread.get(address) || 0) + 1);
    this.keepLogs();
    this.showContacts();
    this.showGroups();
    this.showLog();
  }

  // The first message opens its conversation, without taking the keyboard away from what the person does.
  openQuietly(address) {
    this.open = address;
    this.parts.chat.hidden = false;
    this.showThere();
  }

  keepLogs() {
    sessionStorage.setItem("log" + this.person.number, JSON.stringify(Object.fromEntries(this.logs)));
  }

  showLog() {
    if (!this.open) return;
    this.parts.with.textContent = this.nameOf(this.open);
    const items = (this.logs.get(this.open) || []).map((line) => {
      const item = make("li", undefined, line.mine ? "mine" : line.isNews ? "news" : "");
      if (line.from) item.append(make("span", line.from, "from"));
      item.append(line.note ? `${line.text}: “${line.note}”` : line.text);
      if (line.mark) item.append(make("span", line.mark.text, "mark " + (line.mark.kind || "")));
      return item;
    });
    this.parts.log.replaceChildren(...items);
    this.parts.log.scrollTop = this.parts.log.scrollHeight;
  }
}

function groupPath(address, rest) {
  return "groups/" + encodeURIComponent(address) + (rest ? "/" + rest : "");
}

function presenceWords(presence) {
  if (!presence) return ["unknown", "nothing known"];
  if (presence.attributes.length === 0) return ["unknown", "waits for consent"];
  const value = (name) => presence.attributes.find((one) => one.name === name)?.value;
  const words = [presence.online ? "online" : presence.online === false ? "offline" : "hidden"];
  const availability = value("UserAvailability"), mood = value("StatusMood"), text = value("StatusText");
  if (availability && availability !== "AVAILABLE") words.push(lower(availability));
  if (mood) words.push(lower(mood));
  return [presence.online ? "on" : "off", words.join(", ") + (text ? ` · ${text}` : "")];
}

// ---- the way of a request, out of the Trails of every gateway that it passed

const SLACK = 20;
// What gateways do by themselves is listed, but does not push what a person did off the picture.
const BY_ITSELF = ["notify", "delivery-report"];

class Ways {
  constructor() {
    this.trails = [];
    this.select = document.getElementById("ways");
    this.newest = document.getElementById("newest");
    this.select.addEventListener("change", () => { this.newest.checked = false; this.draw(); });
    this.newest.addEventListener("change", () => this.list());
  }

  async listen() {
    for (let pause = 500; ; pause = Math.min(pause * 2, 8000)) {
      try {
        const response = await fetch("/trails");
        if (response.ok) { pause = 500; await readEvents(response, (_, trail) => this.take(trail)); }
      } catch { /* tried again */ }
      await sleep(pause);
    }
  }

  take(trail) {
    const received = trail.steps.find((step) => step.event === "received");
    if (!received || this.trails.some((one) => one.id === trail.id && one.operator === trail.operator)) return;
    this.trails.push({ ...trail, received });
    this.trails = this.trails.slice(-KEPT);
    this.list();
  }

  starts() {
    return this.trails.filter((trail) => trail.received.from === "home").sort((a, b) => a.started_ms - b.started_ms);
  }

  list() {
    const starts = this.starts().slice(-40).reverse();
    const chosen = this.newest.checked ? "" : this.select.value;
    this.select.replaceChildren(...starts.map((trail) => {
      const option = make("option", `${nameOf(trail.received.sender)}: ${trail.received.request} to ${trail.received.recipients.map(nameOf).join(", ") || "a number"}`);
      option.value = trail.id;
      return option;
    }));
    const wanted = starts.find((trail) => chosen ? trail.id === chosen : !BY_ITSELF.includes(trail.received.request));
    if (wanted) this.select.value = wanted.id;
    this.draw();
  }

  draw() {
    const first = this.trails.find((trail) => trail.id === this.select.value);
    if (!first) return;
    const [from, until] = [first.started_ms - SLACK, first.started_ms + first.took_ms + SLACK];
    const others = this.trails.filter((trail) => trail.received.from !== "home" && trail.received.request === first.received.request
      && trail.started_ms >= from && trail.started_ms <= until);
    others.sort((a, b) => a.started_ms - b.started_ms);
    const stations = [first, ...others];
    document.getElementById("wayline").textContent = [nameOf(first.received.sender), ...stations.map((one) => one.operator), ...first.received.recipients.map(nameOf)].join(" → ");
    const items = [make("li", nameOf(first.received.sender), "end"), ...stations.map(station), ...first.received.recipients.map((one) => make("li", nameOf(one), "end"))];
    document.getElementById("way").replaceChildren(...items);
  }
}

function station(trail) {
  const item = make("li", undefined, trail.operator);
  item.append(make("span", trail.operator, "place"), " ", make("span", `${trail.took_ms.toFixed(1)} ms`, "ms"));
  const steps = make("ol");
  for (const step of trail.steps) {
    const [text, kind, details] = stepWords(step);
    if (!text) continue;
    const line = make("li", text, kind);
    line.append(" ", make("span", `+${step.after_ms.toFixed(1)}`, "ms"));
    if (details?.length) {
      const list = make("ul");
      list.append(...details.map((detail) => make("li", detail)));
      line.append(list);
    }
    steps.append(line);
  }
  item.append(steps);
  return item;
}

function stepWords(step) {
  switch (step.event) {
    case "received": return [`${step.request} from ${step.from} over ${step.protocol}`];
    case "checked": return [`agreed: ${step.clause}`, "over"];
    case "routed": return [step.decision, "", step.steps.map((one) => `${one.question}: ${one.answer.join(", ") || "nothing"} (${one.source})`)];
    case "attempt": return step.failure ? [`${step.to}: ${step.failure}`, "bad"] : [`${step.to} took it over ${step.protocol}`];
    case "stored": return [`kept: ${step.reason}`];
    case "refused": return [`refused: ${step.reason}`, "bad"];
    case "answered": return [`answer: ${step.outcome}`];
    default: return [step.text, "over"];
  }
}

let people = [];
let streams = {}; // where each operator's events come from

function nameOf(address) {
  if (!address) return "somebody";
  const bare = address.replace(/^wv:/, "");
  if (bare.includes("/")) return `a group of ${nameOf(bare.replace(/\/[^@]*/, "").replace(/#.*/, ""))}`;
  const found = people.find((person) => bare === person.number || bare.startsWith(person.number + "@") || bare === person.user);
  return found ? found.name : bare;
}

async function begin() {
  const response = await fetch("/cast.json");
  ({ people, streams } = await response.json());
  const ways = new Ways();
  ways.listen();
  const handsets = people.map((person) => new Handset(person));
  await Promise.all(handsets.map((handset) => handset.start()));
  document.body.dataset.state = "ready";
}

begin().catch((error) => {
  const problem = document.getElementById("problem");
  problem.textContent = `The lab can't be reached: ${error.message}. Is it still running?`;
  problem.hidden = false;
});
