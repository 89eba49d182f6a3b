// Runs the tests of what needs no browser: node test.mjs
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { spawnSync } from "node:child_process";
import { build } from "esbuild";

const into = await mkdtemp(`${tmpdir()}/portal-tests-`);
const tests = (await readdir("test")).filter((name) => name.endsWith(".test.ts"));
await build({
  entryPoints: tests.map((name) => `test/${name}`),
  outdir: into,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
});
const { status } = spawnSync(process.execPath, ["--test", into], { stdio: "inherit" });
await rm(into, { recursive: true });
process.exitCode = status ?? 1;
