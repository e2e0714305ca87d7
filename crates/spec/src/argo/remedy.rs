//! What can be written instead of a field that is not supported yet.
//! It must never decide which fields those are: `fields` does.

/// What to do without the field at this path (`spec.templates.memoize`).
pub fn instead_of(path: &str) -> &'static str {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let holder = parent.rsplit('.').next().unwrap_or_default();
    match (holder, name) {
        (_, "memoize") => "leave it out: the task then runs every time",
        (_, "daemon") => "start what it serves inside the task that uses it",
        (_, "sidecars" | "initContainers") => "let the command of the container do their work",
        (_, "containerSet") => "write its containers as steps or tasks",
        (_, "http") if holder == "templates" => "ask the address from a script",
        (_, "resource" | "data" | "plugin") if holder == "templates" => "do it in a script",
        ("volumes", _) => "use an `emptyDir` within a task, and artifacts or parameters for files from outside",
        (_, "envFrom") | ("env", "valueFrom") => "write each variable with its `value`, from a parameter if need be",
        (_, "valueFrom") => "write the value",
        (_, "resourceClaims" | "claims") => "say it in the `resources` of the container",
        ("artifacts", "deleted") => "leave it out",
        ("artifacts", _) => "fetch or send it in a script; between tasks an artifact needs no location",
        _ => "leave it out",
    }
}

#[cfg(test)]
mod tests {
    use super::instead_of;

    #[test]
    fn the_remedy_fits_the_place() {
        assert_eq!(instead_of("spec.templates.memoize"), "leave it out: the task then runs every time");
        assert_ne!(instead_of("spec.templates.http"), instead_of("spec.templates.inputs.artifacts.http"));
        assert_eq!(instead_of("spec.templates.container.tty"), "leave it out");
    }
}
