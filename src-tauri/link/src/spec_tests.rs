use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn plan(text: &str) -> Plan {
    let spec: LinkSpec = text
        .parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(spec.to_string(), text, "the text is kept as it was typed");
    spec.plan().clone()
}

fn first(text: &str) -> [Conditions; 2] {
    plan(text).steps[0].conditions
}

fn error(text: &str) -> LinkSpecError {
    text.parse::<LinkSpec>()
        .expect_err(&format!("{text} is no link"))
}

#[test]
fn settings_apply_to_both_directions_or_to_one() {
    let [up, down] = first("delay=25ms,up.loss=5%,down.jitter=3ms,down.duplicate=1%");
    assert_eq!(
        up,
        Conditions::delayed(MS * 25).with_loss(Loss::Random(0.05))
    );
    assert_eq!(
        down,
        Conditions {
            jitter: MS * 3,
            duplicate: 0.01,
            ..Conditions::delayed(MS * 25)
        }
    );

    assert_eq!(first("rtt=50ms"), [Conditions::delayed(MS * 25); 2]);
    let reordered = first("reorder=2%,reorder-by=30ms")[0];
    assert_eq!((reordered.reorder, reordered.reorder_by), (0.02, MS * 30));
}

#[test]
fn a_rate_has_a_queue_in_time_or_bytes() {
    let queue = |text: &str| first(text)[0].queue_bytes;
    assert_eq!(queue("rate=1M,queue=100ms"), 12_500);
    assert_eq!(queue("queue=100ms,rate=1M"), 12_500, "in any order");
    assert_eq!(queue("rate=1M,queue=64KB"), 64_000);
    assert_eq!(queue("rate=1M"), 37_500, "300 ms by default");
    assert_eq!(queue("rate=none"), usize::MAX);

    let [up, down] = first("up.rate=1M,queue=1s");
    assert_eq!((up.queue_bytes, down.queue_bytes), (125_000, usize::MAX));
}

#[test]
fn a_queue_keeps_its_size_when_the_rate_changes() {
    let steps = plan("rate=1M,queue=100ms;@5s rate=500k;@6s rate=2M,queue=50ms").steps;
    let queues: Vec<_> = steps
        .iter()
        .map(|step| step.conditions[0].queue_bytes)
        .collect();
    assert_eq!(queues, [12_500, 12_500, 12_500]);
}

#[test]
fn a_policer_has_a_bucket() {
    let policer = |text: &str| first(text)[0].policer.expect("a policer");
    assert_eq!(policer("policer=512k").bucket_bytes, DEFAULT_BUCKET);
    let with_bucket = policer("bucket=32KB,policer=512k");
    assert_eq!(
        (with_bucket.rate_bps, with_bucket.bucket_bytes),
        (512_000, 32_000)
    );
    let steps = plan("policer=512k;@1s policer=none").steps;
    assert_eq!(steps[1].conditions[0].policer, None);
}

#[test]
fn bursts_have_the_mean_loss_and_the_mean_length() {
    let Loss::GilbertElliott {
        to_bad,
        to_good,
        bad_loss,
    } = first("loss=2%,burst=5")[0].loss
    else {
        panic!("bursts need the chain");
    };

    assert_eq!((to_good, bad_loss), (0.2, 1.0));
    let mean = to_bad / (to_bad + to_good);
    assert!((mean - 0.02).abs() < 1e-12, "{mean}");
    assert_eq!(first("loss=2%,burst=1")[0].loss, Loss::Random(0.02));

    let chain = Loss::GilbertElliott {
        to_bad: 0.01,
        to_good: 0.2,
        bad_loss: 0.8,
    };
    assert_eq!(first("gilbert=1%/20%/80%")[0].loss, chain);
    let later = plan("gilbert=1%/20%/80%;@1s loss=0%").steps[1].conditions[0].loss;
    assert_eq!(later, Loss::None, "the later setting counts");
}

#[test]
fn steps_change_what_was_set_before() {
    let plan = plan("delay=10ms; @2s loss=10% ;@3.5s outage=on,rebind;@4s repeat");
    let at: Vec<_> = plan.steps.iter().map(|step| step.at.as_millis()).collect();
    assert_eq!(at, [0, 2_000, 3_500]);
    assert_eq!(plan.repeat, Some(MS * 4_000));

    let last = plan.steps[2];
    assert!(last.rebind && !plan.steps[1].rebind);
    assert_eq!(
        last.conditions[0],
        Conditions {
            up: false,
            ..Conditions::delayed(MS * 10).with_loss(Loss::Random(0.1))
        }
    );
}

#[test]
fn a_link_may_begin_later() {
    let steps = plan("@3s outage=on").steps;
    assert_eq!(steps.len(), 2);
    assert_eq!(steps[0].conditions, [Conditions::default(); 2]);
    assert!(!steps[1].conditions[0].up);
}

#[test]
fn a_profile_can_be_changed() {
    let [up, _] = first("satellite,loss=3%,burst=1");
    assert_eq!(up.loss, Loss::Random(0.03));
    assert_eq!(up.delay, MS * 300, "the rest stays");

    assert!(plan("lte-train").repeat.is_some());
    let own = plan("lte-train;@5s outage=on");
    assert_eq!(
        (own.steps.len(), own.repeat),
        (2, None),
        "typed steps replace the profile's"
    );
    assert_eq!(own.steps[0].conditions, first("lte-train"));
}

#[test]
fn mistakes_are_explained() {
    for (text, words) in [
        ("", "give the name of a link"),
        (
            "home-wify",
            "`home-wify` is neither a known link (home-wifi, ",
        ),
        ("loss=5%,home-wifi", "must come first"),
        (
            "los=5%",
            "there is no setting `los`; the settings are delay, ",
        ),
        ("left.loss=5%", "there is no setting `left.loss`"),
        ("loss=5", "loss=5: give a percentage"),
        ("delay=25", "delay=25: give a time with its unit"),
        ("rate=fast", "rate=fast: give bits per second"),
        ("up.rtt=50ms", "concerns both directions"),
        ("loss=5%;loss=6%", "begins with its time"),
        ("loss=5%;@10s", "begins with its time"),
        ("loss=5%;@10 loss=6%", "begins with its time"),
        ("loss=5%;@2s loss=6%;@2s loss=7%", "does not come after"),
        ("loss=5%;@2s loss=6%;@1s repeat", "does not come after"),
        ("loss=5%;@2s repeat;@3s loss=1%", "must be the only setting"),
        ("loss=5%;@2s repeat,loss=1%", "must be the only setting"),
        ("queue=300ms", "needs a rate, like rate=1M,queue=300ms"),
        ("bucket=16KB", "needs a policer"),
        ("loss=80%,burst=2", "bursts of 2 packets cannot lose 80 %"),
        ("gilbert=1%/20%", "give three percentages"),
        ("seed=x", "seed=x: give a whole number"),
    ] {
        let message = error(text).to_string();
        assert!(message.contains(words), "{text}: {message}");
    }
}

fn any_setting() -> impl Strategy<Value = String> {
    let share = (0..=1_000_u32).prop_map(|tenths| format!("{}%", f64::from(tenths) / 10.0));
    let time = (0..5_000_u32).prop_map(|ms| format!("{ms}ms"));
    let rate = (1..100_000_u32).prop_map(|kbits| format!("{kbits}k"));
    let side = prop_oneof![Just(""), Just("up."), Just("down.")];

    let setting = prop_oneof![
        (
            prop_oneof![Just("loss"), Just("duplicate"), Just("reorder")],
            share
        ),
        (
            prop_oneof![Just("delay"), Just("jitter"), Just("reorder-by")],
            time
        ),
        (prop_oneof![Just("rate"), Just("policer")], rate),
        (
            Just("outage"),
            prop_oneof![Just("on".to_owned()), Just("off".to_owned())]
        ),
    ];

    (side, setting).prop_map(|(side, (key, value))| format!("{side}{key}={value}"))
}

proptest! {
    /// Whatever is typed is a link or an error.
    #[test]
    fn any_text_is_a_link_or_an_error(text in "[a-z0-9=,;.@% /-]{0,60}") {
        if let Err(error) = text.parse::<LinkSpec>() {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    /// Valid settings in valid steps are a link, with a step for each, in the order of their times.
    #[test]
    fn valid_settings_are_a_link(
        steps in prop::collection::vec(
            (1..1_000_u32, prop::collection::vec(any_setting(), 1..5)),
            1..6,
        ),
    ) {
        let mut at = 0;
        let mut text = String::new();
        for (index, (gap, settings)) in steps.iter().enumerate() {
            if index > 0 {
                at += gap;
                text += &format!(";@{at}s ");
            }

            text += &settings.join(",");
        }

        let spec: LinkSpec = text.parse().map_err(|error| {
            TestCaseError::fail(format!("{text}: {error}"))
        })?;
        let times: Vec<_> = spec.plan().steps().iter().map(|step| step.at).collect();
        prop_assert_eq!(times.len(), steps.len());
        prop_assert!(times.windows(2).all(|pair| pair[0] < pair[1]));

        for step in spec.plan().steps() {
            for conditions in step.conditions {
                prop_assert!((0.0..=1.0).contains(&conditions.duplicate));
                prop_assert!(conditions.rate_bps.is_none() || conditions.queue_bytes > 0);
            }
        }
    }
}
