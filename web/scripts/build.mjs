// Builds the page's script and style. `--check` builds beside the committed ones and says where they differ.
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
const committed = join(root, "../src/headwater/report/web");
const checking = process.argv.includes("--check");
const out = checking ? mkdtempSync(join(tmpdir(), "headwater-web-")) : committed;
const OUTPUTS = ["app.js", "app.css", "bundle.json"];

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

await build({ root, logLevel: "warn", build: { outDir: out, emptyOutDir: false } });
// What a browser reads inside a page must not end the element it stands in.
const script = join(out, "app.js");
writeFileSync(script, readFileSync(script, "utf8").replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--"));
const built = (name) => createHash("sha256").update(readFileSync(join(out, name))).digest("hex");
const stamp = { source: sourceHash(), script: built("app.js"), style: built("app.css") };
writeFileSync(join(out, "bundle.json"), `${JSON.stringify(stamp, null, 1)}\n`);

if (checking) {
  const stale = OUTPUTS.filter((name) => readFileSync(join(out, name), "utf8") !== readFileSync(join(committed, name), "utf8"));
  rmSync(out, { recursive: true });
  if (stale.length) {
    console.error(`src/headwater/report/web: ${stale.join(", ")} not built from web/ as it is: run make web and commit.`);
    process.exit(1);
  }
}
