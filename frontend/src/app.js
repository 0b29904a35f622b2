// Small courtesies on top of pages that work without any script: theme switch, "/" to search, copy buttons, closing of
// pop-overs, progress of slow answers, local times.

const THEMES = { light: "antivenom-light", dark: "antivenom-dark" };
const root = document.documentElement;

function themeInUse() {
  if (root.dataset.theme) return root.dataset.theme === THEMES.dark ? "dark" : "light";
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

// A cookie and not localStorage: the server writes the attribute into the page, so nothing flashes.
function switchTheme() {
  const next = themeInUse() === "dark" ? "light" : "dark";
  root.dataset.theme = THEMES[next];
  document.cookie = `theme=${next}; path=/; max-age=31536000; samesite=lax`;
  document.dispatchEvent(new CustomEvent("antivenom:theme"));
}

async function copyText(button) {
  const source = document.getElementById(button.dataset.copy);
  const said = button.querySelector("[data-said]");
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    said.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    said.textContent = "Selected: press Ctrl+C";
  }
  button.dataset.done = "";
  setTimeout(() => {
    said.textContent = "";
    delete button.dataset.done;
  }, 2500);
}

// What was sent is not sent twice; an answer that takes a while says so on the button that sent it.
document.addEventListener("submit", (event) => {
  const { target: form, submitter: button } = event;
  if (form.method !== "post") return;
  if (form.dataset.sent !== undefined) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "";
  if (button?.dataset.busy) sayBusy(button);
  if (button?.dataset.progress !== undefined) {
    event.preventDefault();
    sendWithProgress(form, button);
  }
});

function sayBusy(button) {
  const label = document.createElement("span");
  label.className = "busy-label";
  label.setAttribute("role", "status");
  label.textContent = button.dataset.busy;
  button.append(label);
  button.setAttribute("aria-busy", "true");
}

function forgetSent() {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  for (const button of document.querySelectorAll("[data-busy][aria-busy]")) {
    button.removeAttribute("aria-busy");
    button.querySelector(".busy-label")?.remove();
  }
}

// Going back may show the page as it was left.
addEventListener("pageshow", forgetSent);

// The server tells what it does, a line of JSON each (slow_answers.py); the last line is the page. Where that cannot be had,
// the form is sent as any other.
async function sendWithProgress(form, button) {
  const bar = showProgress(form);
  const target = button.hasAttribute("formaction") ? button.formAction : form.action;
  try {
    const body = new URLSearchParams(new FormData(form, button));
    const answer = await fetch(target, { method: "POST", body, headers: { "x-progress": "1" } });
    if (!answer.ok) throw new Error(answer.statusText);
    for await (const news of linesOf(answer)) {
      if (news.plain) throw new Error("not to be had this way");
      else if (news.location) location.assign(news.location);
      else if (news.page) replaceContent(news.page);
      else bar.tell(news);
    }
  } catch {
    form.action = target;
    form.submit();
  }
}

async function* linesOf(answer) {
  const decoder = new TextDecoder();
  let rest = "";
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

function showProgress(form) {
  const box = document.createElement("div");
  box.className = "flex flex-col gap-1.5";
  box.innerHTML = '<p class="flex justify-between gap-2 text-xs" role="status"><span></span><span class="text-muted tabular-nums"></span></p>';
  const bar = document.createElement("progress");
  bar.className = "progress w-full";
  bar.setAttribute("aria-label", "Progress");
  box.append(bar);
  form.append(box);
  const [phase, numbers] = box.querySelectorAll("span");
  return {
    tell(news) {
      phase.textContent = news.phase.charAt(0).toUpperCase() + news.phase.slice(1);
      numbers.textContent = news.total > 1 ? `${news.done.toLocaleString("en")} of ${news.total.toLocaleString("en")} records` : "";
      if (news.total > 1) Object.assign(bar, { max: news.total, value: news.done });
      else bar.removeAttribute("value");
    },
  };
}

// The address stays that of the form: loading it again asks no question.
function replaceContent(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  document.title = page.title;
  const main = document.getElementById("content");
  main.replaceChildren(...page.getElementById("content").childNodes);
  htmx.process(main);
  const told = main.querySelector("[data-told]");
  told?.focus({ preventScroll: true });
  told?.scrollIntoView({ block: "nearest" });
}

document.addEventListener("click", (event) => {
  const target = event.target;
  if (target.closest("[data-theme-switch]")) switchTheme();
  const copy = target.closest("[data-copy]");
  if (copy) copyText(copy);
  for (const open of document.querySelectorAll("details.pop[open]")) {
    if (!open.contains(target) || target.closest("[data-close]")) open.open = false;
  }
});

// Times are told in UTC; who points at one is told their own time too.
document.addEventListener("pointerover", (event) => {
  const time = event.target.closest?.("time[title$=UTC]");
  if (!time) return;
  const own = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  time.title = `${time.title} (${own} for you)`;
});

// Of tabs that do not fit, the one in use is in sight.
document.querySelector(".tab-bar [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const fields = [...document.querySelectorAll("main [data-search], header [data-search]")];
    const shown = fields.filter((field) => field.checkVisibility());
    const search = shown.find((field) => field.closest("main")) ?? shown[0];
    if (search) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  }
  if (event.key === "Escape") {
    const open = document.querySelector("details.pop[open]");
    if (open) {
      open.open = false;
      open.querySelector("summary").focus();
    } else if (event.target.matches("[data-search]")) event.target.blur();
  }
});
