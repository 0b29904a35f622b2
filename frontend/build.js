// Builds everything that a page loads into src/antivenom/server/static (git-ignored):
// styles, scripts, fonts, an icon sprite of the icons that templates name, the licences of what is bundled,
// and manifest.json (file -> first 10 digits of its sha256), from which pages make cacheable addresses.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, "node_modules");
const server = join(here, "..", "src", "antivenom", "server");
const target = join(server, "static");
const staging = join(server, `static.${process.pid}.tmp`);

function walk(folder, suffix) {
  return readdirSync(folder, { recursive: true })
    .map(String)
    .filter((path) => path.endsWith(suffix))
    .map((path) => join(folder, path));
}

function buildStyles() {
  const cli = join(modules, "@tailwindcss", "cli", "dist", "index.mjs");
  const args = [cli, "--input", join(here, "src", "app.css"), "--output", join(staging, "app.css"), "--minify"];
  const run = spawnSync(process.execPath, args, { cwd: here, stdio: ["ignore", "inherit", "pipe"], encoding: "utf8" });
  if (run.status !== 0) throw new Error(`tailwindcss failed:\n${run.stderr}`);
}

function copyScripts() {
  cpSync(join(modules, "htmx.org", "dist", "htmx.min.js"), join(staging, "htmx.js"));
  cpSync(join(modules, "echarts", "dist", "echarts.min.js"), join(staging, "echarts.js"));
  for (const name of ["app.js", "charts.js"]) cpSync(join(here, "src", name), join(staging, name));
  cpSync(join(here, "src", "favicon.svg"), join(staging, "favicon.svg"));
}

function copyFonts() {
  const fonts = [
    ["inter", "inter-latin-wght-normal"],
    ["inter", "inter-latin-ext-wght-normal"],
    ["jetbrains-mono", "jetbrains-mono-latin-wght-normal"],
  ];
  for (const [family, file] of fonts) {
    const source = join(modules, "@fontsource-variable", family, "files", `${file}.woff2`);
    cpSync(source, join(staging, "fonts", `${file}.woff2`));
  }
}

// An icon that a template names and Lucide does not have stops the build, so a page never shows a hole.
function buildIcons() {
  const named = new Set();
  for (const file of walk(server, ".html").concat(walk(server, ".py"))) {
    const text = readFileSync(file, "utf8");
    for (const [, name] of text.matchAll(/\b(?:icon\(|glyph=)\s*"([a-z0-9-]+)"/g)) named.add(name);
  }
  const symbols = [...named].sort().map((name) => {
    const svg = readFileSync(join(modules, "lucide-static", "icons", `${name}.svg`), "utf8");
    const inner = svg.replace(/^[\s\S]*?<svg[^>]*>/, "").replace(/<\/svg>\s*$/, "").replace(/\s+/g, " ").trim();
    return `<symbol id="${name}" viewBox="0 0 24 24">${inner}</symbol>`;
  });
  writeFileSync(join(staging, "icons.svg"), `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("")}</svg>\n`);
  return symbols.length;
}

function collectLicences() {
  const bundled = [
    "htmx.org", "echarts", "zrender", "tailwindcss", "daisyui", "lucide-static",
    "@fontsource-variable/inter", "@fontsource-variable/jetbrains-mono",
  ];
  const texts = bundled.map((name) => {
    const folder = join(modules, name);
    const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file ? readFileSync(join(folder, file), "utf8") : "MIT; see the project's own pages.\n";
    return `${name} ${version}\n${"=".repeat(60)}\n${text}`;
  });
  writeFileSync(join(staging, "third-party-licences.txt"), texts.join("\n\n"));
}

function writeManifest() {
  const manifest = {};
  for (const path of walk(staging, "").filter((entry) => /\.[a-z0-9]+$/.test(entry))) {
    const digest = createHash("sha256").update(readFileSync(path)).digest("hex");
    manifest[relative(staging, path).replaceAll("\\", "/")] = digest.slice(0, 10);
  }
  writeFileSync(join(staging, "manifest.json"), JSON.stringify(manifest, null, 1));
}

const started = performance.now();
process.on("exit", () => rmSync(staging, { recursive: true, force: true }));
mkdirSync(join(staging, "fonts"), { recursive: true });
buildStyles();
copyScripts();
copyFonts();
const icons = buildIcons();
collectLicences();
writeManifest();
rmSync(target, { recursive: true, force: true });
renameSync(staging, target);
console.log(`frontend: built in ${((performance.now() - started) / 1000).toFixed(1)} s, ${icons} icons`);
