// Numbers and times for people.

const UNITS = ["B", "kB", "MB", "GB", "TB"];

export function bytes(count) {
  let value = count ?? 0;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

export function duration(seconds) {
  if (seconds < 0.001) return "< 1 ms";
  if (seconds < 1) return `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
}

export const score = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));

export const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

export function date(unixSeconds) {
  return new Date(unixSeconds * 1000).toLocaleString(undefined, { dateStyle: "medium" });
}

/** The text of characters `start` to `end`. The API counts code points; JavaScript's strings count UTF-16 units. */
export const slice = (codePoints, start, end) => codePoints.slice(start, end).join("");
