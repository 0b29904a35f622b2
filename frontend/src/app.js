// Small courtesies on top of pages that work without any script: theme switch, "/" to search, copy buttons, closing of
// pop-overs, progress of slow forms, local times.

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
  const status = button.querySelector("[data-copy-status]");
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    status.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    status.textContent = "Selected: press Ctrl+C";
  }
  button.dataset.done = "";
  setTimeout(() => {
    status.textContent = "";
    delete button.dataset.done;
  }, 2500);
}

// A form is not sent twice. While the answer takes a while, the button that sent the form shows it.
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

// Going back may restore the page with its busy state.
addEventListener("pageshow", forgetSent);

// The server streams its progress as lines of JSON, then the page (server/web/form_progress.py). If that fails, the form is
// sent as an ordinary one.
async function sendWithProgress(form, button) {
  const bar = showProgress(form);
  const target = button.hasAttribute("formaction") ? button.formAction : form.action;
  try {
    const body = new URLSearchParams(new FormData(form, button));
    const answer = await fetch(target, { method: "POST", body, headers: { "x-progress": "1" } });
    if (!answer.ok) throw new Error(answer.statusText);
    for await (const line of linesOf(answer)) {
      if (line.plain) throw new Error("send it as an ordinary form");
      else if (line.location) location.assign(line.location);
      else if (line.page) replaceContent(line.page);
      else bar.show(line);
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
    show(progress) {
      phase.textContent = progress.phase.charAt(0).toUpperCase() + progress.phase.slice(1);
      numbers.textContent =
        progress.total > 1 ? `${progress.done.toLocaleString("en")} of ${progress.total.toLocaleString("en")} records` : "";
      if (progress.total > 1) Object.assign(bar, { max: progress.total, value: progress.done });
      else bar.removeAttribute("value");
    },
  };
}

// The address stays that of the form, so reloading it does not send the form again.
function replaceContent(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  document.title = page.title;
  const main = document.getElementById("content");
  main.replaceChildren(...page.getElementById("content").childNodes);
  htmx.process(main);
  showOutcome(main);
}

// What a form led to is what its reader wants next, however it was sent.
function showOutcome(main) {
  const outcome = main?.querySelector("[data-outcome]");
  outcome?.focus({ preventScroll: true });
  outcome?.scrollIntoView({ block: "nearest" });
}

showOutcome(document.getElementById("content"));

document.addEventListener("click", (event) => {
  const target = event.target;
  if (target.closest("[data-theme-switch]")) switchTheme();
  const copy = target.closest("[data-copy]");
  if (copy) copyText(copy);
  for (const open of document.querySelectorAll("details.pop[open]")) {
    if (!open.contains(target) || target.closest("[data-close]")) open.open = false;
  }
});

// Times are in UTC. Pointing at one shows the local time too.
document.addEventListener("pointerover", (event) => {
  const time = event.target.closest?.("time[title$=UTC]");
  if (!time) return;
  const own = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  time.title = `${time.title} (${own} for you)`;
});

// Scroll the current tab into view when the tabs do not fit.
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
