// Builds the scripts and styles of both pages, a run's (app) and the lab's (lab). `--check` builds beside the committed ones and says where they differ.
//
// Python reads the bundle where it lies, so installing headwater needs no Node. bundle.json says what it was built from;
// tests/report/view/test_bundle.py finds a stale one without Node.
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const root = fileURLToPath(new URL("..", import.meta.url));
const package_ = join(root, "../src/headwater");
const checking = process.argv.includes("--check");
const PAGES = {
  app: { input: "src/main.tsx", folder: join(package_, "report/web") },
  lab: { input: "src/lab/main.tsx", folder: join(package_, "lab/web") },
};

function files(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? files(join(folder, entry.name)) : [join(folder, entry.name)],
  );
}

function sourceHash() {
  const others = ["package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "scripts/build.mjs"];
  const paths = [...files(join(root, "src")), ...others.map((name) => join(root, name))];
  const names = paths.map((path) => relative(root, path).replaceAll("\\", "/")).sort();
  const digest = createHash("sha256");
  for (const name of names) digest.update(`${name}\0`).update(readFileSync(join(root, name))).update("\0");
  return digest.digest("hex");
}

const source = sourceHash();
const stale = [];
for (const [page, { input, folder }] of Object.entries(PAGES)) {
  const out = checking ? mkdtempSync(join(tmpdir(), "headwater-web-")) : folder;
  const output = { entryFileNames: `${page}.js`, assetFileNames: `${page}.[ext]` };
  await build({ root, logLevel: "warn", build: { outDir: out, emptyOutDir: false, rollupOptions: { input: join(root, input), output } } });
  // What a browser reads inside a page must not end the element it stands in.
  const script = join(out, `${page}.js`);
  writeFileSync(script, readFileSync(script, "utf8").replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--"));
  const built = (name) => createHash("sha256").update(readFileSync(join(out, name))).digest("hex");
  const stamp = { source, script: built(`${page}.js`), style: built(`${page}.css`) };
  writeFileSync(join(out, "bundle.json"), `${JSON.stringify(stamp, null, 1)}\n`);
  if (!checking) continue;
  for (const name of [`${page}.js`, `${page}.css`, "bundle.json"])
    if (readFileSync(join(out, name), "utf8") !== readFileSync(join(folder, name), "utf8")) stale.push(relative(join(package_, ".."), join(folder, name)));
  rmSync(out, { recursive: true });
}
if (stale.length) {
  console.error(`src/${stale.join(", src/")}: not built from web/ as it is: run make web and commit.`);
  process.exit(1);
}
