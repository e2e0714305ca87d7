//! Documents that are made to hurt: each gives a diagnostic, in bounded time and memory, on a small stack.

/// The stack of a thread that a server would use.
const STACK: usize = 2 << 20;

fn errors(text: String) -> Vec<String> {
    let work = move || {
        let files = [spec::SourceFile { name: "w.yaml".into(), text }];
        let compiled = spec::compile(&files, &spec::Options::default());
        assert!(compiled.plans.is_empty());
        compiled.diagnostics.iter().for_each(|d| drop(spec::render(d, &files, false)));
        compiled.diagnostics.into_iter().map(|d| d.message).collect()
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(work).expect("a thread");
    thread.join().expect("no panic")
}

fn assert_told(text: String, words: &str) {
    let found = errors(text);
    assert!(found.iter().any(|message| message.contains(words)), "{words:?} is not in {found:?}");
}

#[test]
fn deep_nesting_is_refused() {
    assert_told("[".repeat(10_000), "nested more than");
    assert_told("{a: ".repeat(10_000), "nested more than");
    assert_told("- ".repeat(10_000), "nested more than");
    let blocks: String = (0..10_000).map(|depth| format!("{}a:\n", " ".repeat(depth % 1_000))).take(1_000).collect();
    assert_told(blocks, "nested more than");
    assert_told("{\"a\":".repeat(10_000), "nested more than");
}

#[test]
fn nesting_just_below_the_limit_is_walked() {
    let depth = spec::yaml::DEPTH_MAX - 3;
    let text = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec: {}1{}\n",
        "[".repeat(depth),
        "]".repeat(depth)
    );
    assert_told(text, "must be a mapping");
    let steps = "{name: a, inline: {steps: [[".repeat(60) + "{name: a, template: zz}" + &"]]}}".repeat(60);
    let head =
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec: {entrypoint: m, templates: [{name: m, steps: [[";
    assert_told(format!("{head}{steps}]]}}]}}\n"), "there is no template `zz`");
}

#[test]
fn alias_bombs_are_refused() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for i in 1..12 {
        let items = vec![format!("*a{}", i - 1); 9].join(",");
        bomb += &format!("a{i}: &a{i} [{items}]\n");
    }
    assert_told(bomb, "excessive aliasing");
    assert_told("a: &a [*a]\n".into(), "contains itself");
    let mut chain = String::from("a0: &a0 [x]\n");
    for i in 1..30_000 {
        chain += &format!("a{i}: &a{i} [*a{}]\n", i - 1);
    }
    assert_told(chain.clone(), "nested more than");
    // The same behind another document, where every span is moved.
    assert_told(format!("kind: x\n---\n{chain}"), "nested more than");
}

#[test]
fn large_files_are_refused_in_bounded_time() {
    assert_told("a".repeat(65 << 20), "larger than");
    let script = "      echo 'a line of a long script that is repeated very often' # and a comment\n".repeat(680_000);
    assert!(script.len() > 50 << 20);
    assert_told(format!("kind: Workflow\nspec:\n  source: |\n{script}"), "has no field `source`");
    assert_told("# comment\n".repeat(1 << 20), "no document");
}

#[test]
fn many_faults_and_long_chains_stay_linear() {
    let mut text =
        String::from("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  entrypoint: t0\n  templates:\n");
    for i in 0..3_000 {
        text += &format!("  - name: t{i}\n    steps: [[{{name: s, template: t{}}}]]\n", i + 1);
    }
    assert_told(text, "there is no template `t3000`");
    let mut dag = String::from(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  entrypoint: m\n  templates:\n  - name: m\n    dag:\n      tasks:\n",
    );
    for i in 0..2_000 {
        dag += &format!("      - {{name: t{i}, template: e, dependencies: [t{}]}}\n", (i + 1) % 2_000);
    }
    assert_told(dag, "wait for each other");
}
