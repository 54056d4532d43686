//! What was worked out a short while ago, and need not be worked out again? A few answers by their question, the
//! least recently asked let go first.

use parking_lot::Mutex;

/// Answers to the questions that were asked last. Few enough to be looked through one by one.
#[derive(Debug)]
pub struct Recent<Q, A> {
    most: usize,
    /// The last asked is the last.
    answers: Mutex<Vec<(Q, A)>>,
}

impl<Q, A: Clone> Recent<Q, A> {
    /// Keeps at most so many.
    pub fn new(most: usize) -> Self {
        Self { most, answers: Mutex::default() }
    }

    /// The answer to the question that `is` recognises.
    pub fn get(&self, is: impl Fn(&Q) -> bool) -> Option<A> {
        let mut answers = self.answers.lock();
        let at = answers.iter().rposition(|(question, _)| is(question))?;
        let found = answers.remove(at);
        let answer = found.1.clone();
        answers.push(found);
        Some(answer)
    }

    /// Keeps an answer.
    pub fn keep(&self, question: Q, answer: A) {
        let mut answers = self.answers.lock();
        if answers.len() >= self.most {
            answers.remove(0);
        }
        answers.push((question, answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_longest_goes_first() {
        let recent = Recent::new(2);
        recent.keep("a", 1);
        recent.keep("b", 2);
        assert_eq!(recent.get(|q| *q == "a"), Some(1));
        recent.keep("c", 3);
        assert_eq!(recent.get(|q| *q == "b"), None);
        assert_eq!((recent.get(|q| *q == "a"), recent.get(|q| *q == "c")), (Some(1), Some(3)));
    }
}
