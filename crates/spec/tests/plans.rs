//! What a document becomes: the parts of a Plan, rule by rule.

use model::plan::{Body, Location, OutputSource, Plan, RetryPolicy, Scope, Target, With};
use spec::{Compiled, Options, Severity, SourceFile, compile};

const HEAD: &str = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {generateName: w-}\n";

fn compiled(texts: &[&str], options: &Options) -> Compiled {
    let files: Vec<SourceFile> = texts
        .iter()
        .enumerate()
        .map(|(i, text)| SourceFile { name: format!("f{i}.yaml"), text: (*text).to_owned() })
        .collect();
    let compiled = compile(&files, options);
    let errors: Vec<String> = compiled
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .map(|d| spec::render(d, &files, false))
        .collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    compiled
}

fn plan(spec: &str) -> Plan {
    let text = format!("{HEAD}{spec}");
    compiled(&[&text], &Options::default()).plans.remove(0)
}

#[test]
fn scalars_become_the_strings_that_upstream_makes_of_them() {
    let plan = plan(
        "spec:
  entrypoint: m
  arguments: {parameters: [{name: a, value: 1.50}, {name: b, value: 1e3}, {name: c, value: yes}, {name: d, value: 0777},
    {name: e, value: '1.50'}, {name: f, value: 12:30}, {name: g, value: 9007199254740993}]}
  templates: [{name: m, container: {image: i}}]
",
    );
    let values: Vec<&str> =
        plan.arguments.parameters.iter().filter_map(|p| p.value.as_ref()).map(|v| v.as_str()).collect();
    assert_eq!(values, ["1.5", "1000", "true", "511", "1.50", "12:30", "9007199254740992"]);
}

#[test]
fn a_leaf_has_its_process_mounts_and_resources() {
    let plan = plan(
        "spec:
  entrypoint: m
  serviceAccountName: robot
  volumes: [{name: v, emptyDir: {}}]
  templates:
  - name: m
    script:
      image: python:3.12
      command: [python]
      source: print(1)
      workingDir: /w
      env: [{name: A, value: b}]
      resources: {requests: {cpu: 1, memory: 2Gi}, limits: {cpu: 500m}}
      volumeMounts: [{name: v, mountPath: /v, subPath: s, readOnly: true}]
    inputs: {parameters: [{name: c, default: 2}]}
    timeout: 1h
    activeDeadlineSeconds: 10
",
    );
    assert_eq!(plan.service_account, "robot");
    let template = plan.template(plan.entrypoint);
    let Body::Leaf(leaf) = &template.body else { panic!("{template:?}") };
    assert_eq!(leaf.source.as_ref().map(|s| s.as_str()), Some("print(1)"));
    assert_eq!(leaf.env[0].value.as_str(), "b");
    assert_eq!(leaf.resources.requests["cpu"].as_str(), "1");
    assert_eq!(leaf.resources.limits["cpu"].as_str(), "500m");
    assert_eq!((leaf.mounts[0].volume.as_str(), leaf.mounts[0].read_only), ("v", true));
    assert_eq!(template.timeout.as_ref().map(|t| t.as_str()), Some("1h"));
    assert_eq!(template.active_deadline.as_ref().map(|t| t.as_str()), Some("10"));
}

#[test]
fn dependencies_become_depends() {
    let plan = plan(
        "spec:
  entrypoint: m
  templates:
  - name: m
    dag:
      failFast: false
      tasks:
      - {name: a, template: e}
      - {name: b, template: e}
      - {name: c, template: e, dependencies: [a, b], continueOn: {failed: true}, when: '1 == 1'}
  - {name: e, container: {image: i}}
",
    );
    let Body::Dag(dag) = &plan.template(plan.entrypoint).body else { panic!() };
    assert!(!dag.fail_fast);
    let task = &dag.tasks[2];
    assert_eq!((task.depends.as_str(), task.from_dependencies), ("a && b", true));
    assert!(task.continue_on.failed && !task.continue_on.error);
    assert_eq!(task.target, Target::Template(plan.find(&Scope::Local, "e").expect("e")));
}

#[test]
fn loops_keep_their_items_as_json() {
    let plan = plan(
        "spec:
  entrypoint: m
  templates:
  - name: m
    steps:
    - - {name: a, template: e, withItems: [1.0, '<b>', {k: [1, x]}, true, null]}
      - {name: b, template: e, withParam: '[1]'}
      - {name: c, template: e, withSequence: {count: 3, format: 'x%02d'}}
      - {name: d, template: e, withItems: []}
  - {name: e, container: {image: i}}
",
    );
    let Body::Steps(groups) = &plan.template(plan.entrypoint).body else { panic!() };
    let Some(With::Items(items)) = &groups[0][0].with else { panic!() };
    let items: Vec<&str> = items.iter().map(|i| i.as_str()).collect();
    assert_eq!(items, ["1", "\"<b>\"", "{\"k\":[1,\"x\"]}", "true", "null"]);
    let Some(With::Sequence(sequence)) = &groups[0][2].with else { panic!() };
    assert_eq!((sequence.count.as_ref().map(|c| c.as_str()), sequence.format.as_str()), (Some("3"), "x%02d"));
    assert_eq!(groups[0][3].with, Some(With::Items(Vec::new())));
}

#[test]
fn templates_that_say_nothing_take_the_workflows_retry_and_defaults() {
    let plan = plan(
        "spec:
  entrypoint: m
  retryStrategy: {limit: 2, retryPolicy: Always}
  templateDefaults: {timeout: 30s, container: {image: busybox, env: [{name: D, value: d}]}, script: {image: python}}
  templates:
  - name: m
    steps: [[{name: a, template: own}, {name: b, template: other}]]
  - {name: own, container: {env: [{name: O, value: o}]}, retryStrategy: {limit: '5', backoff: {duration: 10s, factor: 2}}}
  - {name: other, script: {source: x}}
",
    );
    let own = plan.template(plan.find(&Scope::Local, "own").expect("own"));
    let retry = own.retry.as_ref().expect("a strategy");
    assert_eq!(retry.limit.as_ref().map(|l| l.as_str()), Some("5"));
    assert_eq!(retry.policy, None);
    assert_eq!(retry.backoff.as_ref().map(|b| b.duration.as_str()), Some("10s"));
    let Body::Leaf(leaf) = &own.body else { panic!() };
    assert_eq!(leaf.image.as_str(), "busybox");
    assert_eq!(leaf.env.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["O", "D"]);
    let other = plan.template(plan.find(&Scope::Local, "other").expect("other"));
    assert_eq!(other.retry.as_ref().and_then(|r| r.policy), Some(RetryPolicy::Always));
    assert_eq!(other.timeout.as_ref().map(|t| t.as_str()), Some("30s"));
    let Body::Leaf(leaf) = &other.body else { panic!() };
    assert_eq!((leaf.image.as_str(), leaf.env.len()), ("python", 0));
}

#[test]
fn referenced_templates_are_embedded_with_what_they_refer_to() {
    let main = format!(
        "{HEAD}spec:
  entrypoint: m
  templates:
  - name: m
    steps: [[{{name: a, templateRef: {{name: lib, template: outer}}}}, {{name: b, template: inner}}]]
  - {{name: inner, container: {{image: own}}}}
"
    );
    let library = "apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: lib}
spec:
  nodeSelector: {a: b}
  templates:
  - {name: outer, steps: [[{name: x, template: inner}, {name: z, templateRef: {name: far, template: t, clusterScope: true}}]]}
  - {name: inner, container: {image: theirs}}
  - {name: unused, container: {image: i}}
---
apiVersion: argoproj.io/v1alpha1
kind: ClusterWorkflowTemplate
metadata: {name: far}
spec:
  templates: [{name: t, container: {image: far}}]
";
    let compiled = compiled(&[&main, library], &Options::default());
    let plan = &compiled.plans[0];
    let image = |scope: Scope, name: &str| match &plan.template(plan.find(&scope, name).expect("embedded")).body {
        Body::Leaf(leaf) => leaf.image.as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(image(Scope::Local, "inner"), "own");
    assert_eq!(image(Scope::Namespaced("lib".into()), "inner"), "theirs");
    assert_eq!(image(Scope::Cluster("far".into()), "t"), "far");
    assert_eq!(plan.find(&Scope::Namespaced("lib".into()), "unused"), None);
    assert_eq!(plan.notices, ["these fields only place or dress a pod and do nothing here: spec.nodeSelector"]);
}

#[test]
fn names_of_priority_classes_do_nothing_and_the_notice_says_what_does() {
    let plan = plan(
        "spec: {entrypoint: a, priority: 3, podPriorityClassName: high, templates: [{name: a, priorityClassName: high, container: {image: i, \
         command: [c]}}]}",
    );
    assert_eq!(plan.priority, 3);
    assert_eq!(plan.notices.len(), 2);
    assert!(
        plan.notices[0].ends_with("spec.podPriorityClassName, spec.templates.priorityClassName"),
        "{:?}",
        plan.notices
    );
    assert!(plan.notices[1].contains("`spec.priority` says whose turn it is"), "{:?}", plan.notices);
}

#[test]
fn a_workflow_over_a_template_wins_and_arguments_merge_by_name() {
    let main = format!(
        "{HEAD}spec:
  workflowTemplateRef: {{name: lib}}
  arguments: {{parameters: [{{name: b, value: mine}}]}}
  parallelism: 3
"
    );
    let library = "apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: lib}
spec:
  entrypoint: t
  parallelism: 9
  activeDeadlineSeconds: 60
  arguments: {parameters: [{name: a, value: theirs}, {name: b}]}
  templates: [{name: t, container: {image: i, args: ['{{workflow.parameters.a}}']}}]
";
    let compiled = compiled(&[library, &main], &Options::default());
    let plan = &compiled.plans[0];
    assert_eq!((plan.parallelism, plan.active_deadline_s), (Some(3), Some(60)));
    let mut values: Vec<(&str, &str)> = plan
        .arguments
        .parameters
        .iter()
        .map(|p| (p.name.as_str(), p.value.as_ref().map_or("", |v| v.as_str())))
        .collect();
    values.sort_unstable();
    assert_eq!(values, [("a", "theirs"), ("b", "mine")]);
    assert_eq!(plan.template(plan.entrypoint).scope, Scope::Local);
}

#[test]
fn inline_recursive_and_late_named_templates_are_targets() {
    let plan = plan(
        "spec:
  entrypoint: m
  templates:
  - name: m
    inputs: {parameters: [{name: t, default: m}]}
    steps:
    - - {name: a, inline: {container: {image: i}}}
      - {name: b, template: m, when: '1 == 2'}
      - {name: c, template: '{{inputs.parameters.t}}'}
",
    );
    let Body::Steps(groups) = &plan.template(plan.entrypoint).body else { panic!() };
    let Target::Template(inline) = groups[0][0].target else { panic!() };
    assert_eq!(plan.template(inline).name, "");
    assert!(plan.template(inline).body.is_leaf());
    assert_eq!(groups[0][1].target, Target::Template(plan.entrypoint));
    assert_eq!(groups[0][2].target, Target::Named("{{inputs.parameters.t}}".into()));
}

#[test]
fn artifacts_and_outputs_say_where_they_come_from() {
    let plan = plan(
        "spec:
  entrypoint: m
  templates:
  - name: m
    steps:
    - - {name: a, template: w}
    - - {name: b, template: r, arguments: {artifacts: [{name: in, from: '{{steps.a.outputs.artifacts.out}}', subPath: x}]}}
    outputs:
      parameters:
      - {name: p, valueFrom: {parameter: '{{steps.a.outputs.parameters.num}}', default: 0}}
      - {name: q, valueFrom: {expression: \"steps['a'].outputs.parameters.num\"}}
  - name: w
    container: {image: i}
    outputs:
      parameters: [{name: num, valueFrom: {path: /n, default: 1.50}}]
      artifacts: [{name: out, path: /out, s3: {key: k.tgz}, archive: {none: {}}, optional: true}]
  - name: r
    inputs:
      artifacts: [{name: in, path: /in, mode: 0755}, {name: raw, path: /raw, raw: {data: hello}}]
    container: {image: i}
",
    );
    let template = |name: &str| plan.template(plan.find(&Scope::Local, name).expect("there"));
    let outputs = &template("w").outputs;
    assert_eq!(outputs.parameters[0].source, OutputSource::Path("/n".into()));
    assert_eq!(outputs.parameters[0].default.as_ref().map(|d| d.as_str()), Some("1.5"));
    assert_eq!(outputs.artifacts[0].location, Some(Location::Key("k.tgz".into())));
    assert!(outputs.artifacts[0].optional);
    assert_eq!(template("r").inputs.artifacts[0].mode, Some(0o755));
    assert_eq!(template("r").inputs.artifacts[1].location, Some(Location::Raw("hello".into())));
    let outputs = &template("m").outputs;
    assert!(matches!(&outputs.parameters[0].source, OutputSource::Parameter(t) if t.has_tags()));
    assert!(matches!(&outputs.parameters[1].source, OutputSource::Expression(e) if e.starts_with("steps")));
    let Body::Steps(groups) = &template("m").body else { panic!() };
    assert_eq!(groups[1][0].arguments.artifacts[0].sub_path.as_str(), "x");
}

#[test]
fn towpaths_annotations_are_read() {
    let text = "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: w
  annotations: {towpath.dev/python-requirements: 'numpy==2.0, pandas', towpath.dev/source: src, other: x}
spec:
  entrypoint: m
  templates:
  - name: m
    steps: [[{name: a, template: a}, {name: b, template: b}]]
  - {name: a, container: {image: i}}
  - name: b
    metadata:
      annotations:
        towpath.dev/python-requirements: |
          # pinned
          torch==2.0
        towpath.dev/at-most-once: 'true'
        towpath.dev/dynamic: 'true'
    container: {image: i}
";
    let plan = compiled(&[text], &Options::default()).plans.remove(0);
    let leaf = |name: &str| {
        let template = plan.template(plan.find(&Scope::Local, name).expect("there"));
        let Body::Leaf(leaf) = &template.body else { panic!() };
        (leaf.python_requirements.clone(), leaf.dynamic, template.at_most_once)
    };
    assert_eq!(leaf("a"), (vec!["numpy==2.0".into(), "pandas".into()], false, false));
    assert_eq!(leaf("b"), (vec!["torch==2.0".into()], true, true));
    assert_eq!(plan.metadata.annotations["towpath.dev/source"], "src");
}

#[test]
fn options_replace_what_the_document_says() {
    let text = format!(
        "{HEAD}spec: {{entrypoint: a, arguments: {{parameters: [{{name: p}}]}}, templates: [{{name: a, container: {{image: i}}}}, {{name: b, container: {{image: i}}}}]}}\n"
    );
    let options = Options {
        entrypoint: Some("b".into()),
        name: Some("given".into()),
        namespace: Some("ns".into()),
        labels: [("l".to_owned(), "v".to_owned())].into(),
        parameters: [("p".to_owned(), "1".to_owned())].into(),
        lint: false,
    };
    let compiled = compiled(&[&text], &options);
    let plan = &compiled.plans[0];
    assert_eq!(plan.template(plan.entrypoint).name, "b");
    assert_eq!((plan.metadata.name.as_str(), plan.metadata.generate_name.as_str()), ("given", ""));
    assert_eq!((plan.metadata.namespace.as_str(), plan.metadata.labels["l"].as_str()), ("ns", "v"));
    assert_eq!(compiled.diagnostics, []);
}

#[test]
fn a_value_for_a_parameter_that_is_not_there_is_an_error() {
    let text = format!(
        "{HEAD}spec: {{entrypoint: a, arguments: {{parameters: [{{name: epochs, value: 1}}]}}, templates: [{{name: a, container: {{image: i}}}}]}}\n"
    );
    let options = Options { parameters: [("epoch".to_owned(), "2".to_owned())].into(), ..Options::default() };
    let compiled = compile(&[SourceFile { name: "f".into(), text }], &options);
    assert!(compiled.plans.is_empty());
    let told: Vec<_> = compiled.diagnostics.iter().map(|d| (d.code, d.help.as_deref())).collect();
    assert_eq!(told, [("E0408", Some("did you mean `epochs`?"))]);
}

#[test]
fn every_workflow_document_gives_its_own_plan() {
    let one = |name: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{name: {name}}}\nspec: {{entrypoint: m, templates: [{{name: m, container: {{image: i}}}}]}}\n"
        )
    };
    let bad = one("bad").replace("image", "imag");
    let files =
        [SourceFile { name: "f".into(), text: format!("{}---\n{bad}---\n# nothing\n---\n{}", one("x"), one("z")) }];
    let compiled = compile(&files, &Options::default());
    let names: Vec<&str> = compiled.plans.iter().map(|p| p.metadata.name.as_str()).collect();
    assert_eq!(names, ["x", "z"]);
    assert_eq!(compiled.documents.iter().map(|d| d.line).collect::<Vec<_>>(), [1, 6, 13]);
    assert!(compiled.has_errors());
}

#[test]
fn json_documents_keep_the_spelling_of_their_numbers() {
    let text = r#"{"apiVersion":"argoproj.io/v1alpha1","kind":"Workflow","metadata":{"name":"j"},
        "spec":{"entrypoint":"m","templates":[{"name":"m","container":{"image":"i"}}]}}"#;
    assert_eq!(compiled(&[text], &Options::default()).plans.len(), 1);
}

#[test]
fn resources_of_the_pod_and_patches_reach_the_container() {
    let plan = plan(
        "spec:
  entrypoint: m
  podResources: {limits: {cpu: 1, memory: 512Mi}, requests: {cpu: 100m}}
  podSpecPatch: |
    containers: [{name: main, resources: {limits: {memory: '{{workflow.parameters.m}}'}}}]
  arguments: {parameters: [{name: m, value: 1Gi}]}
  templates:
  - {name: m, steps: [[{name: a, template: a}, {name: b, template: b}]]}
  - {name: a, container: {image: i, resources: {limits: {cpu: 2}}}}
  - name: b
    podResources: {limits: {cpu: 3}}
    podSpecPatch: '{\"containers\": [{\"name\": \"main\", \"resources\": {\"requests\": {\"cpu\": 4}}}]}'
    container: {image: i}
",
    );
    let said = |name: &str| {
        let template = plan.template(plan.find(&Scope::Local, name).expect("there"));
        let Body::Leaf(leaf) = &template.body else { panic!() };
        let amount = |map: &std::collections::BTreeMap<String, model::Text>, key: &str| {
            map.get(key).map_or(String::new(), |text| text.as_str().to_owned())
        };
        let (limits, requests) = (&leaf.resources.limits, &leaf.resources.requests);
        [amount(limits, "cpu"), amount(limits, "memory"), amount(requests, "cpu")]
    };
    assert_eq!(said("a"), ["2", "{{workflow.parameters.m}}", "100m"]);
    assert_eq!(said("b"), ["3", "{{workflow.parameters.m}}", "4"]);
}
