import { ristretto255 } from "@noble/curves/ed25519.js";
import { describe, expect, it } from "vitest";

import vectorsText from "../../../tests/vectors/cpace-ristretto255-sha512.json?raw";
import { hash, lvCat, utf8 } from "./bytes";
import * as cpace from "./cpace";

/** The vectors of draft-irtf-cfrg-cpace-21, which src-tauri/trust uses, too. */
const vectors = JSON.parse(vectorsText) as Record<string, string> & {
  prependLength: { input?: string; output?: string; inputLength?: number; prefix?: string }[];
  multiplication: { scalar: string; valid: string; product: string; invalid: string[] };
};

const bytes = (hex = ""): Uint8Array =>
  Uint8Array.from(hex.match(/../gu) ?? [], (pair) => Number.parseInt(pair, 16));
const hex = (value: Uint8Array | null): string | null =>
  value && Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join("");

const inputs: cpace.Inputs = {
  password: bytes(vectors.password),
  channel: bytes(vectors.channel),
  session: bytes(vectors.session),
};

describe("CPace", () => {
  it("prepends lengths as in A.1.2 and A.1.4", () => {
    for (const { input, output, inputLength, prefix } of vectors.prependLength) {
      const part = inputLength === undefined ? bytes(input) : new Uint8Array(inputLength);
      const expected = inputLength === undefined ? output : `${prefix ?? ""}${hex(part) ?? ""}`;
      expect(hex(lvCat(part))).toBe(expected);
    }
    const expected = utf8("\x041234\x015\x00\x03678");
    expect(lvCat(utf8("1234"), utf8("5"), utf8(""), utf8("678"))).toEqual(expected);
    expect(hex(lvCat(new Uint8Array(16_384)).slice(0, 3))).toBe("808001");
  });

  it("has the generator of B.3.1", () => {
    const text = cpace.generatorString(inputs);
    expect(hex(text)).toBe(vectors.generatorString);
    expect(hex(hash(text))).toBe(vectors.generatorHash);
    expect(hex(cpace.generator(inputs).toBytes())).toBe(vectors.generator);
  });

  it("gets the shares and the key of B.3.2 to B.3.5 on both sides", () => {
    const a = cpace.secret(inputs, bytes(vectors.initiatorScalar));
    const b = cpace.secret(inputs, bytes(vectors.responderScalar));
    expect(hex(a.share)).toBe(vectors.initiatorShare);
    expect(hex(b.share)).toBe(vectors.responderShare);
    expect(hex(cpace.scalarMultVfy(a.scalar, b.share))).toBe(vectors.sharedPoint);
    expect(hex(cpace.scalarMultVfy(b.scalar, a.share))).toBe(vectors.sharedPoint);

    const initiator = { share: a.share, data: bytes(vectors.initiatorData) };
    const responder = { share: b.share, data: bytes(vectors.responderData) };
    expect(hex(cpace.transcript(initiator, responder))).toBe(vectors.transcript);
    for (const side of [a, b]) {
      expect(hex(cpace.intermediateKey(side, initiator, responder))).toBe(vectors.key);
    }
  });

  it("takes only encodings of elements other than the identity", () => {
    const { scalar, valid, product, invalid } = vectors.multiplication;
    expect(hex(cpace.scalarMultVfy(bytes(scalar), bytes(valid)))).toBe(product);

    const order = `ed${"ff".repeat(30)}7f`;
    const negative = `01${"00".repeat(31)}`;
    for (const element of [...invalid, order, negative, "ff".repeat(32), "80".repeat(32)]) {
      expect(cpace.scalarMultVfy(bytes(scalar), bytes(element)), element).toBeNull();

      const own = cpace.secret(inputs, bytes(vectors.initiatorScalar));
      const [local, remote] = [own.share, bytes(element)].map((share) => ({
        share,
        data: bytes(),
      }));
      if (!local || !remote) throw new Error("two sides");
      expect(cpace.intermediateKey(own, local, remote), element).toBeNull();
      expect(cpace.intermediateKey(own, remote, local), element).toBeNull();
    }
  });

  it("refuses random bytes that are all zero and uses 252 bits of the others", () => {
    expect(() => cpace.secret(inputs, new Uint8Array(32))).toThrow();
    const unused = new Uint8Array(32);
    unused[31] = 0xf0;
    expect(() => cpace.secret(inputs, unused)).toThrow();
    const { share } = cpace.secret(inputs, new Uint8Array(32).fill(0xff));
    expect(ristretto255.Point.fromBytes(share).is0()).toBe(false);
  });
});
