import { useEffect, useLayoutEffect, useRef } from 'react';

const NEAR = 80;

/** Keeps the end of the page in view while it grows, unless the reader has scrolled away from it. */
export function useFollowedEnd(messages) {
  const follows = useRef(true);
  useEffect(() => {
    const page = document.documentElement;
    const look = () => {
      follows.current = page.scrollHeight - page.scrollTop - page.clientHeight < NEAR;
    };
    addEventListener('scroll', look, { passive: true });
    return () => removeEventListener('scroll', look);
  }, []);
  useLayoutEffect(() => {
    if (follows.current) scrollTo(0, document.documentElement.scrollHeight);
  }, [messages]);
}
