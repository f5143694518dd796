import { useEffect, useRef, useState } from "preact/hooks";

/** The width of an element in CSS pixels, as it changes. */
export function useWidth<T extends HTMLElement>() {
  const ref = useRef<T>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const watch = new ResizeObserver(() => setWidth(Math.round(element.getBoundingClientRect().width)));
    watch.observe(element);
    setWidth(Math.round(element.getBoundingClientRect().width));
    return () => watch.disconnect();
  }, []);
  return [ref, width] as const;
}

/** A value of a CSS variable where the page stands now. */
export function cssValue(name: string): string {
  return getComputedStyle(document.getElementById("app") ?? document.body).getPropertyValue(name).trim();
}
