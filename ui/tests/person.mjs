// A person for the real window's camera: `node tests/person.mjs local|remote FILE.y4m`.

import { writeFileSync } from "node:fs";

import { HEADER, reply } from "./frames.mjs";

const [who, file] = process.argv.slice(2);
const [width, height] = [1280, 720];
const planes = reply(who, 0, width, height).subarray(HEADER);
const header = `YUV4MPEG2 W${width} H${height} F30:1 Ip A1:1 C420\nFRAME\n`;
writeFileSync(file, Buffer.concat([Buffer.from(header), planes]));
