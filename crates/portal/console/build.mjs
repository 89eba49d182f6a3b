// Bundles the pages into a folder: node build.mjs [FOLDER]. The same sources give the same bytes.
//
// Every file but the documents carries a hash of its content in its name, and is served under /assets for ever.
import { createHash } from "node:crypto";
import { readFile, readdir, mkdir, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { build } from "esbuild";

const into = process.argv[2] ?? "dist";
const documents = ["index.html", "login.html", "notice.html"];

const result = await build({
  entryPoints: ["src/portal.tsx", "src/portal.css", "src/icon.svg"],
  outdir: into,
  publicPath: "/assets",
  entryNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  loader: { ".woff2": "file", ".svg": "copy" },
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome123", "firefox121", "safari17.5"],
  jsx: "automatic",
  jsxImportSource: "preact",
  define: { "process.env.NODE_ENV": '"production"', "globalThis.process": "undefined" },
  legalComments: "none",
  charset: "utf8",
  metafile: true,
  write: false,
  logLevel: "warning",
});
await mkdir(into, { recursive: true });
const names = [];
for (const { path, contents } of result.outputFiles) {
  const name = named(basename(path), contents);
  names.push(name);
  await writeFile(`${into}/${name}`, contents);
}
for (const document of documents) {
  const text = await readFile(`src/${document}`, "utf8");
  await writeFile(`${into}/${document}`, text.replace(/\/assets\/([a-z0-9-]+)\.([a-z0-9]+)/g, hashed));
}
await writeFile(`${into}/licenses.txt`, await licences(Object.keys(result.metafile.inputs)));

/** The name of a file. The hash that esbuild gives to scripts depends on where the sources are. */
function named(name, contents) {
  if (!name.endsWith(".js")) return name;
  const hash = createHash("sha256").update(contents).digest("hex").slice(0, 8);
  return name.replace(/-[A-Z0-9]+\.js$/, `-${hash}.js`);
}

/** The name that a file has got. */
function hashed(whole, stem, ending) {
  const found = names.find((name) => name.startsWith(`${stem}-`) && name.endsWith(`.${ending}`));
  if (!found) throw new Error(`nothing was built for ${whole}`);
  return `/assets/${found}`;
}

/** The licences of all packages of which something is in the bundle. */
async function licences(inputs) {
  const folder = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//;
  const packages = [...new Set(inputs.map((input) => folder.exec(input)?.[1]).filter(Boolean))];
  const texts = new Map();
  for (const path of packages) {
    const { name, version, license } = JSON.parse(await readFile(`${path}/package.json`, "utf8"));
    const file = (await readdir(path)).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file ? await readFile(`${path}/${file}`, "utf8") : "";
    texts.set(`${name} ${version}`, `${name} ${version} (${license})\n\n${text.trim()}\n`);
  }
  const sorted = [...texts].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, text]) => text);
  return sorted.join(`\n${"-".repeat(78)}\n\n`);
}
