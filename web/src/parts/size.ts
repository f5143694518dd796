import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { printing } from "../state";

/** The width of an element in CSS pixels, as it changes. */
export function useWidth<T extends HTMLElement>() {
  const ref = useRef<T>(null);
  const [width, setWidth] = useState(0);
  const measure = () => { if (ref.current) setWidth(Math.round(ref.current.getBoundingClientRect().width)); };
  useLayoutEffect(measure, [printing.value]); // a sheet of paper waits for nobody
  useEffect(() => {
    const watch = new ResizeObserver(measure);
    if (ref.current) watch.observe(ref.current);
    return () => watch.disconnect();
  }, []);
  return [ref, width] as const;
}

/** A value of a CSS variable where the page stands now. */
export function cssValue(name: string): string {
  return getComputedStyle(document.getElementById("app") ?? document.body).getPropertyValue(name).trim();
}
