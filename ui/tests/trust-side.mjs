// One side of a handshake in TypeScript, for a test that plays the other in Rust: tests/tests/trust.rs.
//
// Reads a line of JSON and answers each with one:
//   {"start": {"method", "session", "random"}}  ->  {"offer"}
//   {"input": …}                                ->  {"send", "outcome", "spentAGuess"}
//   {"time": {"method", "rounds"}}              ->  {"first", "best", "median"}: milliseconds of one offerer

import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";

import { loadTrust } from "./trust-modules.mjs";

const { Handshake, CodeExchange, WordsExchange, close } = await loadTrust();

let side = null;

function handshake(method, session, random) {
  const exchange =
    method.kind === "code"
      ? new CodeExchange(method, session, random)
      : new WordsExchange(session, random);
  return new Handshake(exchange, session);
}

function start({ method, session, random }) {
  side = handshake(method, session, Uint8Array.from(Buffer.from(random, "hex")));
  return { offer: session.role === "offerer" ? side.offer() : null };
}

function input(value) {
  const { send, outcome } = side.handle(value);
  return { send, outcome, spentAGuess: side.spentAGuess };
}

/** What the offerer computes in one handshake. */
function time({ method, rounds }) {
  const [alice, bob] = ["A1", "B2"].map((pair) => `sha-256 ${Array(32).fill(pair).join(":")}`);
  const random = new Uint8Array(32).fill(7);
  const start = (role, local) =>
    handshake(
      method,
      { id: "x", role, local },
      random.map((byte) => byte + local.charCodeAt(8)),
    );
  const answerer = start("answerer", bob);
  const offer = { kind: "offer", pake: start("offerer", alice).offer(), remote: alice };
  const { pake } = answerer.handle(offer).send;

  const times = Array.from({ length: rounds }, () => {
    const before = performance.now();
    const offerer = start("offerer", alice);
    offerer.offer();
    const { outcome } = offerer.handle({ kind: "answer", pake, remote: bob });
    if (!["verified", "words"].includes(outcome.kind)) throw new Error(outcome.kind);
    return performance.now() - before;
  });
  const sorted = times.toSorted((a, b) => a - b);
  return { first: times[0], best: sorted[0], median: sorted[Math.floor(rounds / 2)] };
}

console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const answer = request.start
    ? start(request.start)
    : request.input
      ? input(request.input)
      : time(request.time);
  console.log(JSON.stringify(answer));
}
await close();
