//! Messages as long as real ones.

use durable_session::Message;

/// How long messages are: bytes of content by quantile, in between a straight line on a logarithmic
/// scale.
#[derive(Debug, Clone, Copy)]
pub struct Sizes(&'static [(f64, f64)]);

impl Sizes {
    /// Messages of people in a chat with each other.
    pub const HUMAN_CHAT: Self = Self(&[(0.0, 2.0), (0.5, 36.0), (0.99, 174.0), (1.0, 500.0)]);
    /// Of people and a language model.
    pub const LLM_CHAT: Self =
        Self(&[(0.0, 10.0), (0.5, 436.0), (0.9, 2_200.0), (0.99, 4_100.0), (1.0, 394_000.0)]);

    /// The `n`th message; any thousand in a row are spread evenly over the quantiles.
    pub fn message(self, n: usize) -> Message {
        // The golden ratio's multiples, without their whole parts.
        #[expect(clippy::cast_precision_loss, reason = "numbers of messages are far below 2^52")]
        let quantile = (n as f64 * 0.618_033_988_749_895).fract();
        Message::user("m".repeat(self.bytes(quantile)))
    }

    fn bytes(self, quantile: f64) -> usize {
        let bytes = self.0.windows(2).find(|ends| quantile <= ends[1].0).map_or(0.0, |ends| {
            let ((from, least), (to, most)) = (ends[0], ends[1]);
            least * (most / least).powf((quantile - from) / (to - from))
        });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 2 and 394,000"
        )]
        let bytes = bytes.round() as usize;
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{Message, Sizes};

    #[test]
    fn messages_have_the_quantiles_that_they_are_made_from() {
        for (sizes, expected) in
            [(Sizes::HUMAN_CHAT, [36.0, 174.0]), (Sizes::LLM_CHAT, [436.0, 4_100.0])]
        {
            let empty = Message::user("").bytes();
            let mut bytes: Vec<_> = (0..10_000).map(|n| sizes.message(n).bytes() - empty).collect();
            bytes.sort_unstable();
            for (at, expected) in [(4_999, expected[0]), (9_899, expected[1])] {
                let found = f64::from(u32::try_from(bytes[at]).unwrap());
                assert!((found / expected - 1.0).abs() < 0.02, "{found} for {expected}");
            }
        }
    }
}
