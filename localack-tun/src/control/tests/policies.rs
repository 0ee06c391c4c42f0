//! Policies as text, and settings with them.

use crate::config::Settings;
use crate::control::policies::{Fragment, remove};
use crate::control::protocol::ErrorCode;

const SETTINGS: &str = "
    [engine]
    flows = 100
    [[policy]]
    name = \"a\"
    inner_port = 1
    [[policy]]
    name = \"b\"
    controller = \"provisioned\"
    rate = \"5mbit\"
";

fn settings() -> Settings {
    Settings::parse(SETTINGS).unwrap()
}

fn names(settings: &Settings) -> Vec<&str> {
    settings
        .policies
        .iter()
        .map(|policy| policy.name.as_str())
        .collect()
}

#[test]
fn new_policies_find_their_place_and_known_ones_keep_it() {
    let text = "[[policy]]\nname = \"x\"\n[[policy]]\nname = \"a\"\ninner_port = 7\n[[policy]]\nname = \"y\"\n";
    let fragment = Fragment::parse(text).unwrap();
    let appended = fragment.apply(&settings(), None).unwrap();
    assert_eq!(names(&appended), ["a", "b", "x", "y"]);
    assert_eq!(appended.policies[0].matches.inner_port[0].to_string(), "7");
    assert_eq!(appended.engine, settings().engine, "nothing else changes");
    let inserted = fragment.apply(&settings(), Some("b")).unwrap();
    assert_eq!(names(&inserted), ["a", "x", "y", "b"]);
    let nowhere = fragment.apply(&settings(), Some("c")).unwrap_err();
    assert_eq!(nowhere.code, ErrorCode::UnknownPolicy);
}

#[test]
fn the_default_changes_only_if_it_is_there() {
    let only_policy = Fragment::parse("[[policy]]\nname = \"x\"\n").unwrap();
    let with_default = Fragment::parse("[default]\nservice = \"bypass\"\n").unwrap();
    let changed = with_default.apply(&settings(), None).unwrap();
    assert_ne!(changed.default, settings().default);
    assert_eq!(
        only_policy.apply(&changed, None).unwrap().default,
        changed.default
    );
}

#[test]
fn what_cannot_change_is_refused() {
    let message = |text: &str| {
        let error = Fragment::parse(text).unwrap_err();
        assert_eq!(error.code, ErrorCode::BadPolicy);
        error.message
    };
    assert_eq!(
        message("[engine]\nflows = 7\n[[policy]]\nname = \"x\"\n"),
        "`engine`: only [[policy]] and [default] can be set while the gateway runs"
    );
    assert_eq!(
        message("# nothing\n"),
        "there is neither a table [[policy]] nor [default] in the text"
    );
    assert!(message("[[policy]]\n").contains("no `name`"));
}

#[test]
fn what_does_not_fit_the_rest_is_refused() {
    let text = "[[policy]]\nname = \"x\"\ncontroller = \"provisioned\"\nrate = \"7mbit\"\n";
    let error = Fragment::parse(text)
        .unwrap()
        .apply(&settings(), None)
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::BadPolicy);
    assert_eq!(
        error.message,
        "share 0 is 5mbit in policy \"b\" and 7mbit in policy \"x\"; give one of them another share"
    );
}

#[test]
fn a_policy_is_removed_by_its_name() {
    assert_eq!(names(&remove(&settings(), "a").unwrap()), ["b"]);
    let error = remove(&settings(), "default").unwrap_err();
    assert_eq!(error.code, ErrorCode::UnknownPolicy);
}
