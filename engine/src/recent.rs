//! A cache of recent answers, a few of them, by their questions. The least recently used is dropped first.

use parking_lot::Mutex;

/// A cache of answers by their questions, few enough to be searched one by one.
#[derive(Debug)]
pub struct Recent<Q, A> {
    most: usize,
    /// The last asked is the last.
    answers: Mutex<Vec<(Q, A)>>,
}

impl<Q, A: Clone> Recent<Q, A> {
    /// A cache of at most `most` answers.
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

    /// Adds an answer.
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
