export const NOW: number;
export const HOSTILE: { name: string; age: number; location: string; picture: string };
export const STATES: unknown;
export const state: unknown;
export const call: unknown;
