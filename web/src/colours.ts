// Colours by the rules of the glossary: viridis for sizes, cividis for shares, a pattern for zero, black for NaN and Inf.

const VIRIDIS = "440154 482475 414487 355f8d 2a788e 21918c 22a884 44bf70 7ad151 bddf26 fde725";
const CIVIDIS = "00224e 123570 3b496c 575d6d 707173 8a8678 a59c74 c3b369 e1cc55 fee838";
export const SHADES = 256;

function table(stops: string): Uint32Array {
  const anchors = stops.split(" ").map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  const out = new Uint32Array(SHADES);
  for (let i = 0; i < SHADES; i++) {
    const place = (i / (SHADES - 1)) * (anchors.length - 1);
    const left = Math.min(Math.floor(place), anchors.length - 2);
    const [r, g, b] = [0, 1, 2].map((c) =>
      Math.round(anchors[left][c] + (place - left) * (anchors[left + 1][c] - anchors[left][c])),
    );
    out[i] = (255 << 24) | (b << 16) | (g << 8) | r; // as a little-endian pixel
  }
  return out;
}

export const PALETTES = { size: table(VIRIDIS), fraction: table(CIVIDIS) };
export const rgba = (r: number, g: number, b: number, a = 255): number => ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;

export const cssOf = (pixel: number): string => `rgb(${pixel & 255} ${(pixel >> 8) & 255} ${(pixel >> 16) & 255})`;

/** Colour of a run, the same everywhere on the page; CSS knows both themes. */
export const RUN_COLOURS = ["var(--run-0)", "var(--run-1)"];
export const GLYPHS: Record<string, string> = { critical: "✗", warning: "!", info: "i", healthy: "✓", cannot_tell: "?" };
