// Small courtesies on top of pages that work without any script: theme switch, "/" to search, copy buttons,
// and closing of pop-overs.

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

// A form whose answer takes a while says so on the button that sent it.
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button?.dataset.busy) return;
  const label = document.createElement("span");
  label.className = "busy-label";
  label.setAttribute("role", "status");
  label.textContent = button.dataset.busy;
  button.append(label);
  button.setAttribute("aria-busy", "true");
});

// Going back may show the page as it was left.
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("[data-busy][aria-busy]")) {
    button.removeAttribute("aria-busy");
    button.querySelector(".busy-label")?.remove();
  }
});

document.addEventListener("click", (event) => {
  const target = event.target;
  if (target.closest("[data-theme-switch]")) switchTheme();
  const copy = target.closest("[data-copy]");
  if (copy) copyText(copy);
  for (const open of document.querySelectorAll("details.pop[open]")) {
    if (!open.contains(target) || target.closest("[data-close]")) open.open = false;
  }
});

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
