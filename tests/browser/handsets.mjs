// The handset pages in a real browser: Debian's Chromium, driven by Playwright, on a lab that this script starts.
//
//   node tests/browser/handsets.mjs PROGRAM [SCREENSHOT]
//
// SCREENSHOT.png shows the end, SCREENSHOT-group.png a group that talks.
// Each row is a claim about what a person sees; a row that does not hold ends the run with exit code 1.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const { chromium } = createRequire(process.env.BROWSER_MODULES || import.meta.url)("playwright-core");
const [program, screenshot] = process.argv.slice(2);
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];
const HOSTILE = "<img src=x onerror=document.title='caught'> \u202e & \"quoted\"";
let passed = 0, failed = 0;

async function lab() {
  const child = spawn(program, ["lab"], { stdio: ["ignore", "pipe", "inherit"] });
  for await (const line of createInterface({ input: child.stdout })) {
    const found = /^ {2}(http:\/\/127\.0\.0\.1:\d+\/)$/.exec(line);
    if (found) return { child, url: found[1] };
  }
  throw new Error("the lab ended before it named its handset page");
}

async function row(claim, work) {
  try {
    await work();
    passed += 1;
    console.log(`  ok   ${claim}`);
  } catch (error) {
    failed += 1;
    console.log(`  FAIL ${claim}: ${error.message}`);
  }
}

const { child, url } = await lab();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: FLAGS });
try {
  const page = await browser.newPage({ viewport: { width: 1500, height: 1000 } });
  page.setDefaultTimeout(20_000);
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(url);
  await page.waitForSelector("body[data-state=ready]");
  const phone = (name) => page.getByRole("article", { name, exact: true });
  const [ada, al, bea, ben, hal, isa] = ["Ada", "Al", "Bea", "Ben", "Hal", "Isa"].map(phone);
  const press = (where, name) => where.getByRole("button", { name, exact: true }).click();
  const say = async (where, text) => {
    await where.getByLabel("Message", { exact: true }).fill(text);
    await press(where, "Send");
  };

  await row("a number that is entered becomes a contact by her friendly name, and her presence shows", async () => {
    await al.getByLabel("Number or address to add").fill("+44 7700 900457");
    await press(al, "Add");
    await al.getByRole("button", { name: "Chat with Ben" }).waitFor();
    await al.getByText("online", { exact: true }).waitFor();
  });
  await row("the other is told and adds back with one touch", async () => {
    await press(ben, "Add Al back");
    await ben.getByRole("button", { name: "Chat with Al" }).waitFor();
  });
  await row("a message arrives and its delivery is marked", async () => {
    await press(al, "Chat with Ben");
    await say(al, "See you at 7!");
    await ben.getByRole("log").getByText("See you at 7!").waitFor();
    await al.getByText("✓✓ delivered").waitFor();
  });
  await row("mood and text of a presence are seen by who watches", async () => {
    await ben.getByLabel("My mood").selectOption("HAPPY");
    await ben.getByLabel("My status text").fill("On the 08:15");
    await press(ben, "Set");
    await al.getByText("online, happy · On the 08:15").waitFor();
  });
  await row("what people write is text, whatever it looks like", async () => {
    await ben.getByLabel("My status text").fill(HOSTILE);
    await press(ben, "Set");
    await al.getByText("<img src=x onerror=document.title='caught'>").waitFor();
    await say(al, HOSTILE);
    await ben.getByRole("log").getByText("<img src=x onerror").waitFor();
    await ben.getByLabel("Number or address to add").fill("+447700900456");
    await ben.getByLabel("Nickname, if you like").fill("<script>document.title='caught'</script>");
    await press(ben, "Add");
    await ben.getByText("<script>document.title='caught'</script>", { exact: true }).waitFor();
    await say(al, "a bell \u0007");
    await al.getByRole("log").getByText(/control character/).waitFor();
    assert.equal(await page.locator("#phones img, #phones script").count(), 0);
    assert.equal(await page.title(), "Handsets of the lab");
  });
  await row("an invitation is accepted, and who invited is told", async () => {
    await press(ada, "Chat with Bea");
    await press(ada, "Invite");
    await press(bea, "Accept Ada L.'s invitation");
    await ada.getByText("accepted the invitation").waitFor();
  });
  await row("a group is opened; who accepts is in it, who declines is not", async () => {
    await ada.getByLabel("Topic of a new group").fill("Sunday walk");
    await press(ada, "Open group");
    for (const [who, number] of [[bea, "+447700900456"], [hal, "+447700900223"], [ben, "+447700900457"]]) {
      await ada.getByLabel("Number or address to invite to the group").fill(number);
      await press(ada.locator("form[data-part=guests]"), "Invite");
      await who.getByText(/invites me to a group: “Sunday walk”/).waitFor();
    }
    await press(bea, "Accept Ada L.'s invitation");
    await bea.getByRole("heading", { name: "Sunday walk" }).waitFor();
    await hal.getByRole("button", { name: /^Accept .*'s invitation$/ }).click();
    await hal.getByRole("heading", { name: "Sunday walk" }).waitFor();
    await ben.getByRole("button", { name: /^Decline .*'s invitation$/ }).click();
    const there = ada.getByRole("list", { name: "Who is in the group" });
    await there.getByText("Bea").waitFor();
    await there.getByText("Hal").waitFor();
    await ada.getByRole("log").getByText("Hal came").waitFor();
    assert.equal(await there.getByRole("listitem").count(), 3);
  });
  await row("what one writes in a group, the others read under the writer's name", async () => {
    for (const [from, name, text, others] of [[hal, "Hal", "At ten, by the mill", [ada, bea]], [bea, "Bea", "I bring cake", [ada, hal]]]) {
      await say(from, text);
      for (const other of others) {
        const line = other.getByRole("log").getByRole("listitem").filter({ hasText: text });
        await line.waitFor();
        assert.equal(await line.locator(".from").textContent(), name);
      }
    }
    await hal.getByText("✓✓ on its way to everybody").waitFor();
    if (screenshot) await page.screenshot({ path: screenshot.replace(/(\.png)?$/, "-group.png"), fullPage: true });
  });
  await row("who leaves a group is told to the others and hears nothing more of it", async () => {
    await press(bea, "Leave");
    await bea.getByRole("status").getByText("I left Sunday walk").waitFor();
    await ada.getByRole("log").getByText("Bea went").waitFor();
    await say(ada, "Then we are two");
    await hal.getByRole("log").getByText("Then we are two").waitFor();
    assert.equal(await bea.getByText("Then we are two").count(), 0);
  });
  await row("the keyboard alone puts somebody out of a group", async () => {
    await ada.getByRole("button", { name: "Put Hal out" }).focus();
    await page.keyboard.press("Enter");
    await hal.getByRole("status").getByText("I was put out of Sunday walk").waitFor();
    await ada.getByRole("log").getByText("Hal went").waitFor();
    assert.equal(await ada.evaluate((one) => one.contains(document.activeElement)), true, "the keyboard stays on the handset");
  });
  await row("topics, names and notes of a group are text, whatever they look like", async () => {
    await hal.getByLabel("Topic of a new group").fill(HOSTILE);
    await press(hal, "Open group");
    await hal.getByRole("heading", { name: /^<img src=x/ }).waitFor();
    await hal.getByLabel("Number or address to invite to the group").fill("+447700900456");
    await press(hal.locator("form[data-part=guests]"), "Invite");
    await bea.getByText(/invites me to a group: “<img src=x/).waitFor();
    await bea.getByRole("button", { name: /^Accept .*'s invitation$/ }).last().click();
    await bea.getByRole("heading", { name: /^<img src=x/ }).waitFor();
    await say(bea, "<b>bold</b>\u0000");
    await bea.getByRole("log").getByText(/control character/).waitFor();
    await say(bea, "<b>bold</b>");
    await hal.getByRole("log").getByText("<b>bold</b>").waitFor();
    await press(hal, "End");
    await bea.getByRole("status").getByText(/has ended$/).waitFor();
    await press(ada, "Chat with Bea");
    await press(bea, "Chat with Ada L.");
    assert.equal(await page.locator("#phones img, #phones b").count(), 0);
    const shown = (await page.locator(".contacts, .asks, .there, .phone h3, .from").allTextContents()).join("\n");
    assert.ok(!/[\u0000-\u0008\u000e-\u001f\u202a-\u202e]/.test(shown), "no control character or direction mark is shown");
  });
  await row("a hostile friendly name and a bell in a nickname are shown as text", async () => {
    const renamed = await page.evaluate(async () => {
      const { people } = await (await fetch("/cast.json")).json();
      const person = people.find((one) => one.name === "Isa");
      const headers = { "Content-Type": "application/json" };
      const login = await fetch(`/${person.operator}/v1/login`, { method: "POST", headers, body: JSON.stringify({ user: person.number, password: person.password }) });
      headers.Authorization = "Bearer " + (await login.json()).token;
      const changed = await fetch(`/${person.operator}/v1/me`, { method: "PATCH", headers, body: JSON.stringify({ friendly_name: "<i>Isa</i>\u0007\u202e" }) });
      return changed.status;
    });
    assert.equal(renamed, 200);
    await isa.getByLabel("Number or address to add").fill("+447700900223");
    await isa.getByLabel("Nickname, if you like").fill("Hal\u0007 <u>H</u>");
    await press(isa, "Add");
    await isa.getByText("Hal <u>H</u>", { exact: true }).waitFor();
    await hal.getByText("<i>Isa</i> (wv:+447700900323) has added you").waitFor();
    assert.equal(await page.locator("#phones i, #phones u").count(), 0);
  });
  await row("the way of the newest request names the gateways that it passed", async () => {
    await say(ada, "Hello Bea");
    await ada.getByText("✓✓ delivered").waitFor();
    const line = page.locator("#wayline");
    await page.waitForFunction(() => /^Ada → alpha → beta → Bea$/.test(document.getElementById("wayline").textContent));
    assert.equal(await line.textContent(), "Ada → alpha → beta → Bea");
    await page.locator("#way").getByText("beta.example over ssp").first().waitFor();
  });
  await row("who is blocked reaches nobody, and his sender is told so", async () => {
    await press(ben, "Block Al");
    await ben.getByText("blocked", { exact: true }).waitFor();
    await say(al, "Are you there?");
    await al.getByText("✗ that person does not accept anything").waitFor();
    assert.equal(await ben.getByRole("log").getByText("Are you there?").count(), 0);
  });
  await row("without a public grant he is asked; once he accepts, the values come", async () => {
    const hidden = await page.evaluate(async () => {
      const { people } = await (await fetch("/cast.json")).json();
      const person = people.find((one) => one.name === "Ben");
      const headers = { "Content-Type": "application/json" };
      const login = await fetch(`/${person.operator}/v1/login`, { method: "POST", headers, body: JSON.stringify({ user: person.number, password: person.password }) });
      headers.Authorization = "Bearer " + (await login.json()).token;
      const changed = await fetch(`/${person.operator}/v1/me`, { method: "PATCH", headers, body: JSON.stringify({ settings: { public_attributes: [], online_status_to_contacts: false } }) });
      return changed.status;
    });
    assert.equal(hidden, 200);
    await ada.getByLabel("Number or address to add").fill("+447700900457");
    await press(ada, "Add");
    await ada.getByText("waits for consent").waitFor();
    await press(ben, "Accept: Ada sees my presence");
    await ada.getByText("online, happy", { exact: false }).waitFor();
  });
  await row("a number that nobody can serve is refused with the reason", async () => {
    await al.getByLabel("Number or address to add").fill("+4477009004*");
    await press(al, "Add");
    await al.getByRole("status").getByText(/\(402\)/).waitFor();
  });
  await row("the keyboard alone writes a message", async () => {
    await bea.getByRole("button", { name: "Chat with Ada L." }).focus();
    await page.keyboard.press("Enter");
    await page.keyboard.type("By keyboard");
    await page.keyboard.press("Enter");
    await ada.getByRole("log").getByText("By keyboard").waitFor();
  });
  await row("every button, field and list has a name for those who hear the page", async () => {
    const nameless = await page.evaluate(() => [...document.querySelectorAll("button, input, select")]
      .filter((one) => !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length)).length);
    assert.equal(nameless, 0);
  });
  await row("a page that is opened anew knows contacts, messages and nothing twice", async () => {
    await page.reload();
    await page.waitForSelector("body[data-state=ready]");
    await press(ada, "Chat with Bea");
    assert.equal(await ada.getByRole("log").getByText("By keyboard").count(), 1);
  });
  await row("on a telephone's screen nothing is wider than the screen", async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    const widest = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(widest <= 360, `the page is ${widest} px wide`);
    await page.setViewportSize({ width: 1500, height: 1000 });
  });
  await row("another host name is refused", async () => {
    const response = await page.request.get(url, { headers: { Host: "elsewhere.example" } });
    assert.equal(response.status(), 403);
  });
  await row("the page's scripts ran without an error", async () => assert.deepEqual(complaints, []));
  if (screenshot) await page.screenshot({ path: screenshot, fullPage: true });
} finally {
  await browser.close();
  child.kill("SIGTERM");
}
console.log(`handsets: ${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
