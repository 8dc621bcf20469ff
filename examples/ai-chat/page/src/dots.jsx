/** Shows that an answer has begun and has no words yet. */
export const Dots = () => (
  <span className="dots" role="status" aria-label="The answer is being written"><i /><i /><i /></span>
);
