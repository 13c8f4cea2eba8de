// Runs while an app is built, and says what it can read that is not the build's.
const fs = require("fs"), path = require("path");

const here = process.cwd();
console.log("looking around from", here);

function attempt(what, work) {
  try {
    work();
    console.log("STOLEN", what);
  } catch (error) {
    if (error.code === undefined) throw error;
  }
}

for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
  let line;
  try {
    line = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    continue;
  }
  // What the build itself runs is no secret to it.
  if (!line.startsWith("metapaas")) continue;
  attempt(`environment of ${line}`, () => fs.readFileSync(`/proc/${pid}/environ`));
  attempt(`memory of ${line}`, () => fs.openSync(`/proc/${pid}/mem`, "r"));
  attempt(`files of ${line}`, () => fs.readdirSync(`/proc/${pid}/cwd/`));
}
// The app is the lowest folder that it may read.
for (let folder = path.dirname(here); folder !== "/"; folder = path.dirname(folder)) {
  attempt(folder, () => fs.readdirSync(folder));
  for (const name of ["builds.json", "deploy_key", "step.json", "state.json", "token", "node.json", "work/builds.json"]) {
    attempt(path.join(folder, name), () => fs.readFileSync(path.join(folder, name)));
    attempt(`${path.join(folder, name)} to write`, () => fs.closeSync(fs.openSync(path.join(folder, name), "a")));
  }
}
console.log("looked around");
