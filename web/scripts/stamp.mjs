// Records what the bundle was built from, so that a stale one is found without Node; see tests/report/view/test_bundle.py.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const out = join(root, "../src/headwater/report/web");

function files(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? files(join(folder, entry.name)) : [join(folder, entry.name)],
  );
}

// What a browser reads inside a page must not end the element it stands in.
const script = join(out, "app.js");
writeFileSync(script, readFileSync(script, "utf8").replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--"));

const sources = [
  ...files(join(root, "src")),
  ...["package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "scripts/stamp.mjs"].map((name) => join(root, name)),
];
const names = sources.map((path) => relative(root, path).replaceAll("\\", "/")).sort();
const digest = createHash("sha256");
for (const name of names) {
  digest.update(name + "\0");
  digest.update(readFileSync(join(root, name)));
  digest.update("\0");
}
const built = (name) => createHash("sha256").update(readFileSync(join(out, name))).digest("hex");
const stamp = { source: digest.digest("hex"), script: built("app.js"), style: built("app.css") };
writeFileSync(join(out, "bundle.json"), JSON.stringify(stamp, null, 1) + "\n");
