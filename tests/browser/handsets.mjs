// The handset pages in a real browser: Debian's Chromium, driven by Playwright, on a lab that this script starts.
//
//   node tests/browser/handsets.mjs PROGRAM [SCREENSHOT]
//
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
  const [ada, al, bea, ben] = ["Ada", "Al", "Bea", "Ben"].map(phone);
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
