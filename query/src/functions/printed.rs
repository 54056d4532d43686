//! Equality of plan nodes: two are the same if they print the same, since everything that a node is made of is printed.
//!
//! Comparing their fields would compile the comparison of everything SQL can say into this crate: a fifth of its code,
//! for a question asked a few times per plan.

use std::fmt;

/// The printed form of `node`.
pub(super) fn printed(node: &impl fmt::Debug) -> String {
    format!("{node:?}")
}

/// Implements the comparisons that the planner needs for a plan node.
macro_rules! same_if_printed_the_same {
    ($node:ty) => {
        impl PartialEq for $node {
            fn eq(&self, other: &Self) -> bool {
                $crate::functions::printed::printed(self)
                    == $crate::functions::printed::printed(other)
            }
        }

        impl Eq for $node {}

        impl PartialOrd for $node {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                let printed = $crate::functions::printed::printed;
                Some(printed(self).cmp(&printed(other)))
            }
        }

        impl std::hash::Hash for $node {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                $crate::functions::printed::printed(self).hash(state);
            }
        }
    };
}
pub(super) use same_if_printed_the_same;
