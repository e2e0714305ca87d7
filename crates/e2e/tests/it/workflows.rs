//! Twelve small workflows that together use whatever persists something: each is brought through every fault.
//! It must never hold one that ends differently when nothing goes wrong.

/// A workflow, what happens to its run from outside, and how it ends.
pub struct Script {
    pub name: &'static str,
    pub text: &'static str,
    pub phase: &'static str,
    pub after: After,
}

/// What follows the submission.
pub enum After {
    Nothing,
    Terminate,
    /// Points count from the resumption on.
    HolderKilled,
}

const fn script(name: &'static str, text: &'static str) -> Script {
    Script { name, text, phase: "Succeeded", after: After::Nothing }
}

pub const SCRIPTS: [Script; 12] = [
    script("steps", STEPS),
    script("dag", DAG),
    script("loop", LOOP),
    script("retry", RETRY),
    script("artifacts", ARTIFACTS),
    script("directory", DIRECTORY),
    script("script", SCRIPT),
    script("nested", NESTED),
    Script { phase: "Failed", ..script("failing", FAILING) },
    Script { phase: "Failed", after: After::Terminate, ..script("cancelled", CANCELLED) },
    script("aggregates", AGGREGATES),
    Script { after: After::HolderKilled, ..script("resumed", STEPS) },
];

const STEPS: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: steps-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: a, template: say}
    - - {name: b, template: say}
      - {name: c, template: say}
  - name: say
    container: {image: busybox, command: [sh, -c, "echo said"]}
"#;

const DAG: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: dag-}
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: say}
      - {name: b, template: say, depends: a}
      - {name: c, template: say, depends: a}
      - {name: d, template: say, depends: "b && c"}
      - {name: e, template: say, depends: a.Failed}
  - name: say
    container: {image: busybox, command: [sh, -c, "echo said"]}
"#;

const LOOP: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: loop-}
spec:
  entrypoint: main
  parallelism: 2
  templates:
  - name: main
    steps:
    - - name: each
        template: say
        arguments: {parameters: [{name: i, value: "{{item}}"}]}
        withItems: [1, 2, 3]
  - name: say
    inputs: {parameters: [{name: i}]}
    container: {image: busybox, command: [sh, -c, "echo {{inputs.parameters.i}}"]}
"#;

const RETRY: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: retry-}
spec:
  entrypoint: main
  templates:
  - name: main
    retryStrategy: {limit: "3"}
    container: {image: busybox, command: [sh, -c, "test {{retries}} -ge 1"]}
"#;

const ARTIFACTS: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: artifacts-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - name: use
        template: use
        arguments: {artifacts: [{name: f, from: "{{steps.make.outputs.artifacts.f}}"}]}
  - name: make
    container: {image: busybox, command: [sh, -c, "echo $TOWPATH_RUN > /tmp/f"]}
    outputs: {artifacts: [{name: f, path: /tmp/f, archive: {none: {}}}]}
  - name: use
    inputs: {artifacts: [{name: f, path: /tmp/g}]}
    container: {image: busybox, command: [sh, -c, "grep -qx $TOWPATH_RUN /tmp/g"]}
"#;

const DIRECTORY: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: directory-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - name: use
        template: use
        arguments: {artifacts: [{name: d, from: "{{steps.make.outputs.artifacts.d}}"}]}
  - name: make
    container: {image: busybox, command: [sh, -c, "mkdir -p /tmp/d/sub; echo $TOWPATH_RUN > /tmp/d/sub/f; ln -s sub/f /tmp/d/l"]}
    outputs: {artifacts: [{name: d, path: /tmp/d}]}
  - name: use
    inputs: {artifacts: [{name: d, path: /in}]}
    container: {image: busybox, command: [sh, -c, "grep -qx $TOWPATH_RUN /in/l; echo more > /in/sub/g"]}
"#;

const SCRIPT: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: script-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - name: use
        template: use
        when: "{{steps.make.outputs.result}} == 42"
        arguments: {parameters: [{name: number, value: "{{steps.make.outputs.result}}"}]}
  - name: make
    script: {image: busybox, command: [sh], source: "echo 42"}
  - name: use
    inputs: {parameters: [{name: number}]}
    script: {image: busybox, command: [sh], source: "test {{inputs.parameters.number}} = 42"}
"#;

const NESTED: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: nested-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: inner, template: inner}
  - name: inner
    dag:
      tasks:
      - {name: a, template: innermost}
      - {name: b, template: say, depends: a}
  - name: innermost
    steps:
    - - {name: x, template: say}
  - name: say
    container: {image: busybox, command: [sh, -c, "echo said"]}
"#;

const FAILING: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: failing-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: fine, template: say}
      - {name: fails, template: fails}
    - - {name: never, template: say}
  - name: say
    container: {image: busybox, command: [sh, -c, "echo said"]}
  - name: fails
    container: {image: busybox, command: [sh, -c, "exit 3"]}
"#;

const CANCELLED: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: cancelled-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: waits, template: waits}
    - - {name: never, template: waits}
  - name: waits
    container: {image: busybox, command: [sleep, "1000"]}
"#;

const AGGREGATES: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: aggregates-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: list, template: list}
    - - name: each
        template: each
        arguments: {parameters: [{name: i, value: "{{item}}"}]}
        withParam: "{{steps.list.outputs.parameters.all}}"
    - - name: sum
        template: sum
        arguments: {parameters: [{name: all, value: "{{steps.each.outputs.parameters}}"}]}
  - name: list
    container: {image: busybox, command: [sh, -c, "echo '[1, 2]' > /tmp/all"]}
    outputs: {parameters: [{name: all, valueFrom: {path: /tmp/all}}]}
  - name: each
    inputs: {parameters: [{name: i}]}
    container: {image: busybox, command: [sh, -c, "echo twice-{{inputs.parameters.i}} > /tmp/o"]}
    outputs: {parameters: [{name: o, valueFrom: {path: /tmp/o}}]}
  - name: sum
    inputs: {parameters: [{name: all}]}
    container: {image: busybox, command: [sh, -c, "echo '{{inputs.parameters.all}}' | grep -q twice-2"]}
"#;
