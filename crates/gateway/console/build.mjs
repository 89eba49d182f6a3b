// Bundles the console into a folder: node build.mjs [FOLDER]. The same sources give the same bytes.
import { readFile, readdir, mkdir, writeFile, copyFile } from "node:fs/promises";
import { build } from "esbuild";

const into = process.argv[2] ?? "dist";
const pages = ["console.html", "start.html"];

const result = await build({
  entryPoints: ["src/console.tsx", "src/start.tsx", "src/console.css", "src/start.css"],
  outdir: into,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome111", "firefox113", "safari16.4"],
  jsx: "automatic",
  jsxImportSource: "preact",
  define: { "process.env.NODE_ENV": '"production"', "globalThis.process": "undefined" },
  legalComments: "none",
  charset: "utf8",
  metafile: true,
  logLevel: "warning",
});
await mkdir(into, { recursive: true });
await Promise.all(pages.map((page) => copyFile(`src/${page}`, `${into}/${page}`)));
await copyFile("src/icon.svg", `${into}/icon.svg`);
await writeFile(`${into}/licenses.txt`, await licences(Object.keys(result.metafile.inputs)));

/** The licences of all packages whose code is in the bundle. */
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
