//! The same work, written for each contender: a workflow, a makefile, a ninja file.
//! It must never know how long anything takes.

use std::fmt::Write;

/// `tasks` independent tasks.
pub fn fan_out(tasks: usize) -> String {
    format!(
        "\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: fan-out
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - name: t
        template: quiet
        withSequence:
          count: \"{tasks}\"
  - name: quiet
    container:
      image: busybox
      command: [/bin/true]
"
    )
}

/// `tasks` independent tasks that each write one declared output and one stray file.
pub fn dirty(tasks: usize) -> String {
    format!(
        "\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: dirty
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - name: t
        template: writes
        withSequence:
          count: \"{tasks}\"
  - name: writes
    container:
      image: busybox
      command: [/bin/sh, -c, \"echo 1 >/tmp/declared; echo 2 >/stray\"]
    outputs:
      parameters:
      - name: declared
        valueFrom:
          path: /tmp/declared
"
    )
}

/// `tasks` tasks, each after the one before.
pub fn chain(tasks: usize) -> String {
    let mut text = "\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: chain
spec:
  entrypoint: main
  templates:
  - name: quiet
    container:
      image: busybox
      command: [/bin/true]
  - name: main
    dag:
      tasks:
"
    .to_owned();
    for task in 0..tasks {
        let after = if task == 0 { String::new() } else { format!(", dependencies: [t{}]", task - 1) };
        let _ = writeln!(text, "      - {{name: t{task}, template: quiet{after}}}");
    }
    text
}

/// `tasks` tasks in layers of 100, each after two of the layer before.
pub fn layered(tasks: usize) -> String {
    const WIDTH: usize = 100;
    let mut text = chain(0);
    for task in 0..tasks {
        let (layer, place) = (task / WIDTH, task % WIDTH);
        let before = |place: usize| (layer - 1) * WIDTH + place % WIDTH;
        let after = match layer {
            0 => String::new(),
            _ => format!(", dependencies: [t{}, t{}]", before(place), before(place + 1)),
        };
        let _ = writeln!(text, "      - {{name: t{task}, template: quiet{after}}}");
    }
    text
}

/// `tasks` tasks that sleep.
pub fn sleepers(tasks: usize, seconds: usize) -> String {
    fan_out(tasks).replace("[/bin/true]", &format!("[/bin/sleep, \"{seconds}\"]"))
}

/// A task that makes a directory, and one that is given it.
pub fn directory(files: usize, kib: usize) -> String {
    format!(
        "\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: directory
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {{name: make, template: make}}
    - - name: take
        template: take
        arguments:
          artifacts: [{{name: d, from: \"{{{{steps.make.outputs.artifacts.d}}}}\"}}]
  - name: make
    container:
      image: python:3
      command: [python3, -c]
      args:
      - |
        import os
        os.mkdir('/tmp/d')
        for i in range({files}):
            with open('/tmp/d/%d' % i, 'wb') as f:
                f.write(os.urandom(1024) * {kib})
    outputs:
      artifacts: [{{name: d, path: /tmp/d, archive: {{none: {{}}}}}}]
  - name: take
    inputs:
      artifacts: [{{name: d, path: /tmp/d}}]
    container:
      image: busybox
      command: [/bin/true]
"
    )
}

/// One task.
pub fn hello() -> String {
    "\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  generateName: hello-
spec:
  entrypoint: main
  templates:
  - name: main
    container:
      image: busybox
      command: [echo, hello]
"
    .to_owned()
}

/// For `make`, whose recipe without shell characters runs without a shell.
pub fn makefile(tasks: usize) -> String {
    let mut text = ".PHONY: all\nall:".to_owned();
    for task in 0..tasks {
        let _ = write!(text, " t{task}");
    }
    text.push('\n');
    for task in 0..tasks {
        let _ = writeln!(text, ".PHONY: t{task}\nt{task}:\n\t@/bin/true");
    }
    text
}

pub fn ninja_file(tasks: usize) -> String {
    let mut text = "rule quiet\n  command = /bin/true\n".to_owned();
    for task in 0..tasks {
        let _ = writeln!(text, "build t{task}: quiet");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_contender_has_the_same_number_of_tasks() {
        assert!(fan_out(7).contains("count: \"7\""));
        assert_eq!(makefile(7).matches("/bin/true").count(), 7);
        assert_eq!(ninja_file(7).matches(": quiet").count(), 7);
        assert_eq!(chain(7).matches("template: quiet").count(), 7);
        assert_eq!(chain(7).matches("dependencies: ").count(), 6);
        assert_eq!(layered(107).matches("template: quiet").count(), 107);
        assert_eq!(layered(107).matches("dependencies: ").count(), 7);
        assert!(sleepers(7, 3).contains("[/bin/sleep, \"3\"]"));
    }
}
