// What the network answers over the plane of a 2-D data set, and the samples on it.

import { useEffect, useRef } from "preact/hooks";
import { theme } from "../../state";
import { cssValue, useWidth } from "../../parts/size";
import { numberOf, type Wire } from "../api";

/** Classes with how sure the network is of them, or numbers. */
export interface Field { x: [number, number]; y: [number, number]; size: number; classes?: number[]; sure?: number[]; values?: Wire[]; points: [number, number, number][] }

const COLOURS = ["--run-0", "--run-1", "--green", "--purple", "--orange", "--grey"];

/** A class is a colour and a shape; how sure the network is, is how strong the colour is. A number is a colour between two. */
export function Boundary({ plane, label }: { plane: Field; label: string }) {
  const [box, width] = useWidth<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const shade = theme.value;
  const side = Math.min(width, 320);

  useEffect(() => {
    const element = canvas.current;
    if (!element || !side) return;
    const ratio = devicePixelRatio || 1;
    element.width = element.height = Math.round(side * ratio);
    const context = element.getContext("2d")!;
    context.drawImage(painted(plane), 0, 0, element.width, element.height);
    const at = (value: number, [low, high]: [number, number]) => ((value - low) / (high - low)) * element.width;
    const colour = plane.values ? numbersIn(plane) : null;
    for (const [px, py, own] of plane.points) {
      const [x, y] = [at(px, plane.x), element.height - at(py, plane.y)];
      const r = 2.8 * ratio;
      context.beginPath();
      if (!colour && own % 2) context.rect(x - r, y - r, 2 * r, 2 * r);
      else context.arc(x, y, r, 0, 7);
      context.fillStyle = colour ? `rgb(${colour(own).join(" ")})` : cssValue(COLOURS[own % COLOURS.length]);
      context.fill();
      context.lineWidth = ratio;
      context.strokeStyle = "#fff";
      context.stroke();
    }
  }, [plane, side, shade]);

  return <div ref={box}><canvas ref={canvas} role="img" aria-label={label} style={{ width: `${side}px`, height: `${side}px` }} class="boundary" /></div>;
}

function painted(plane: Field): HTMLCanvasElement {
  const out = document.createElement("canvas");
  out.width = out.height = plane.size;
  const context = out.getContext("2d")!;
  const image = context.createImageData(plane.size, plane.size);
  if (plane.values) {
    const colour = numbersIn(plane);
    plane.values.forEach((value, i) => {
      const place = 4 * ((plane.size - 1 - Math.floor(i / plane.size)) * plane.size + (i % plane.size));
      image.data.set([...colour(numberOf(value)), 255], place);
    });
    context.putImageData(image, 0, 0);
    return out;
  }
  const [answers, sure] = [plane.classes ?? [], plane.sure ?? []];
  const ends = COLOURS.map((name) => bytesOf(cssValue(name)));
  const ground = bytesOf(cssValue("--card"));
  const classes = Math.max(...answers, 1) + 1;
  answers.forEach((own, i) => {
    const place = 4 * ((plane.size - 1 - Math.floor(i / plane.size)) * plane.size + (i % plane.size));
    const strength = 0.12 + (0.6 * Math.max(sure[i] - 1 / classes, 0)) / (1 - 1 / classes);
    for (let c = 0; c < 3; c++) image.data[place + c] = ground[c] + strength * (ends[own % ends.length][c] - ground[c]);
    image.data[place + 3] = 255;
  });
  context.putImageData(image, 0, 0);
  return out;
}

/** The colour of a number: the ground at the middle of what the samples have, blue above it and vermillion below. NaN is black. */
function numbersIn(plane: Field): (value: number) => number[] {
  const known = plane.points.map(([, , value]) => value).filter(Number.isFinite);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const [ground, above, below] = ["--card", COLOURS[0], COLOURS[1]].map((name) => bytesOf(cssValue(name)));
  return (value) => {
    if (Number.isNaN(value)) return [0, 0, 0];
    const share = Math.max(-1, Math.min(1, (2 * (value - low)) / (high - low || 1) - 1));
    const end = share > 0 ? above : below;
    return [0, 1, 2].map((c) => Math.round(ground[c] + Math.abs(share) * (end[c] - ground[c])));
  };
}

/** The three bytes of `#rrggbb`, or of `#rgb` as a smaller style sheet has it. */
function bytesOf(colour: string): number[] {
  const hex = /^#[0-9a-f]{3}$/i.test(colour) ? [...colour.slice(1)].map((one) => one + one).join("") : colour.slice(1);
  return [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16) || 0);
}
