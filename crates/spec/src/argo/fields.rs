//! Every field of every object of an Argo document, and what becomes of it here. To support a field, change its line.
//! It must never know what a field means.

use super::fields_kubernetes::{CONTAINER, INIT_CONTAINER, METADATA, POD_METADATA, SCRIPT, VOLUME};
use super::schema::{Kind, Object, no, notice, old, yes};
use Kind::{Any, AnyText, Bool, Int, IntOrText, Number, Text};

const TEXTS: Kind = Kind::List(&Text);
const TEXT_MAP: Kind = Kind::Map(&Text);
const LIST: Kind = Kind::List(&Any);
const MAP: Kind = Kind::Map(&Any);

const fn object(object: &'static Object) -> Kind {
    Kind::Object(object)
}

pub static WORKFLOW: Object = Object {
    name: "a workflow",
    fields: &[
        yes("apiVersion", Text),
        yes("kind", Text),
        yes("metadata", object(&METADATA)),
        yes("spec", object(&SPEC)),
        notice("status", Any),
    ],
};

pub static CRON_WORKFLOW: Object = Object {
    name: "a cron workflow",
    fields: &[
        yes("apiVersion", Text),
        yes("kind", Text),
        yes("metadata", object(&METADATA)),
        yes("spec", object(&CRON_SPEC)),
        notice("status", Any),
    ],
};

static CRON_SPEC: Object = Object {
    name: "the spec of a cron workflow",
    fields: &[
        yes("concurrencyPolicy", Text),
        yes("failedJobsHistoryLimit", Int),
        old("schedule", Text, "schedules: [\"…\"]"),
        yes("schedules", TEXTS),
        yes("startingDeadlineSeconds", Int),
        yes("stopStrategy", Any),
        yes("successfulJobsHistoryLimit", Int),
        yes("suspend", Bool),
        yes("timezone", Text),
        yes("when", Text),
        yes("workflowMetadata", object(&METADATA)),
        yes("workflowSpec", object(&SPEC)),
    ],
};

pub static SPEC: Object = Object {
    name: "the spec of a workflow",
    fields: &[
        yes("activeDeadlineSeconds", Int),
        notice("affinity", MAP),
        notice("archiveLogs", Bool),
        yes("arguments", object(&ARGUMENTS)),
        notice("artifactGC", MAP),
        notice("artifactRepositoryRef", MAP),
        notice("automountServiceAccountToken", Bool),
        notice("dnsConfig", MAP),
        notice("dnsPolicy", Text),
        yes("entrypoint", Text),
        notice("executor", MAP),
        no("executorPlugins", LIST),
        yes("hooks", Kind::Map(&object(&HOOK))),
        notice("hostAliases", LIST),
        notice("hostNetwork", Bool),
        notice("imagePullSecrets", LIST),
        notice("metrics", object(&METRICS)),
        notice("nodeSelector", TEXT_MAP),
        yes("onExit", Text),
        yes("parallelism", Int),
        notice("podDisruptionBudget", MAP),
        notice("podGC", object(&POD_GC)),
        notice("podMetadata", object(&POD_METADATA)),
        old("podPriority", Int, "podPriorityClassName"),
        notice("podPriorityClassName", Text),
        yes("podResources", object(&POD_RESOURCES)),
        yes("podSpecPatch", Text),
        yes("priority", Int),
        no("resourceClaims", LIST),
        yes("retryStrategy", object(&RETRY)),
        notice("schedulerName", Text),
        notice("securityContext", MAP),
        notice("serviceAccountName", Text),
        yes("shutdown", Text),
        yes("suspend", Bool),
        yes("synchronization", object(&SYNCHRONIZATION)),
        yes("templateDefaults", object(&TEMPLATE)),
        yes("templates", Kind::List(&object(&TEMPLATE))),
        notice("tolerations", LIST),
        notice("ttlStrategy", object(&TTL)),
        notice("volumeClaimGC", MAP),
        yes("volumeClaimTemplates", LIST),
        yes("volumes", Kind::List(&object(&VOLUME))),
        yes("workflowMetadata", object(&WORKFLOW_METADATA)),
        yes("workflowTemplateRef", object(&WORKFLOW_TEMPLATE_REF)),
    ],
};

pub static TEMPLATE: Object = Object {
    name: "a template",
    fields: &[
        yes("activeDeadlineSeconds", IntOrText),
        notice("affinity", MAP),
        yes("annotations", TEXT_MAP),
        notice("archiveLocation", object(&LOCATION)),
        notice("automountServiceAccountToken", Bool),
        yes("container", object(&CONTAINER)),
        no("containerSet", object(&CONTAINER_SET)),
        no("daemon", Bool),
        yes("dag", object(&DAG)),
        no("data", MAP),
        notice("executor", MAP),
        yes("failFast", Bool),
        notice("hostAliases", LIST),
        no("http", object(&HTTP)),
        no("initContainers", Kind::List(&object(&INIT_CONTAINER))),
        yes("inputs", object(&INPUTS)),
        no("memoize", object(&MEMOIZE)),
        yes("metadata", object(&TEMPLATE_METADATA)),
        notice("metrics", object(&METRICS)),
        yes("name", Text),
        notice("nodeSelector", TEXT_MAP),
        yes("outputs", object(&OUTPUTS)),
        yes("parallelism", Int),
        no("pendingTimeout", Text),
        no("plugin", MAP),
        yes("podResources", object(&POD_RESOURCES)),
        yes("podSpecPatch", Text),
        notice("priorityClassName", Text),
        no("resource", object(&RESOURCE)),
        no("resourceClaims", LIST),
        yes("retryStrategy", object(&RETRY)),
        notice("schedulerName", Text),
        yes("script", object(&SCRIPT)),
        notice("securityContext", MAP),
        notice("serviceAccountName", Text),
        no("sidecars", Kind::List(&object(&INIT_CONTAINER))),
        yes("steps", Kind::List(&Kind::List(&object(&STEP)))),
        yes("suspend", object(&SUSPEND)),
        yes("synchronization", object(&SYNCHRONIZATION)),
        yes("timeout", Text),
        notice("tolerations", LIST),
        yes("volumes", Kind::List(&object(&VOLUME))),
    ],
};

static TEMPLATE_METADATA: Object =
    Object { name: "the metadata of a template", fields: &[yes("annotations", TEXT_MAP), notice("labels", TEXT_MAP)] };

pub static STEP: Object = Object {
    name: "a step",
    fields: &[
        yes("arguments", object(&ARGUMENTS)),
        yes("continueOn", object(&CONTINUE_ON)),
        yes("hooks", Kind::Map(&object(&HOOK))),
        yes("inline", object(&TEMPLATE)),
        yes("name", Text),
        yes("onExit", Text),
        yes("template", Text),
        yes("templateRef", object(&TEMPLATE_REF)),
        yes("when", Text),
        yes("withItems", LIST),
        yes("withParam", Text),
        yes("withSequence", object(&SEQUENCE)),
    ],
};

static TASK: Object = Object {
    name: "a task",
    fields: &[
        yes("arguments", object(&ARGUMENTS)),
        yes("continueOn", object(&CONTINUE_ON)),
        yes("dependencies", TEXTS),
        yes("depends", Text),
        yes("hooks", Kind::Map(&object(&HOOK))),
        yes("inline", object(&TEMPLATE)),
        yes("name", Text),
        yes("onExit", Text),
        yes("template", Text),
        yes("templateRef", object(&TEMPLATE_REF)),
        yes("when", Text),
        yes("withItems", LIST),
        yes("withParam", Text),
        yes("withSequence", object(&SEQUENCE)),
    ],
};

static DAG: Object = Object {
    name: "a dag",
    fields: &[yes("failFast", Bool), yes("target", Text), yes("tasks", Kind::List(&object(&TASK)))],
};

static CONTINUE_ON: Object = Object { name: "`continueOn`", fields: &[yes("error", Bool), yes("failed", Bool)] };

static TEMPLATE_REF: Object = Object {
    name: "a template reference",
    fields: &[yes("clusterScope", Bool), yes("name", Text), yes("template", Text)],
};

static WORKFLOW_TEMPLATE_REF: Object =
    Object { name: "a workflow template reference", fields: &[yes("clusterScope", Bool), yes("name", Text)] };

pub static SEQUENCE: Object = Object {
    name: "`withSequence`",
    fields: &[yes("count", IntOrText), yes("end", IntOrText), yes("format", Text), yes("start", IntOrText)],
};

static RETRY: Object = Object {
    name: "`retryStrategy`",
    fields: &[
        notice("affinity", MAP),
        yes("backoff", object(&BACKOFF)),
        yes("expression", Text),
        yes("limit", IntOrText),
        yes("retryPolicy", Text),
    ],
};

static BACKOFF: Object = Object {
    name: "`backoff`",
    fields: &[yes("cap", Text), yes("duration", Text), yes("factor", IntOrText), yes("maxDuration", Text)],
};

static ARGUMENTS: Object = Object {
    name: "`arguments`",
    fields: &[yes("artifacts", Kind::List(&object(&ARTIFACT))), yes("parameters", Kind::List(&object(&PARAMETER)))],
};

static INPUTS: Object = Object {
    name: "`inputs`",
    fields: &[yes("artifacts", Kind::List(&object(&ARTIFACT))), yes("parameters", Kind::List(&object(&PARAMETER)))],
};

static OUTPUTS: Object = Object {
    name: "`outputs`",
    fields: &[
        yes("artifacts", Kind::List(&object(&ARTIFACT))),
        no("exitCode", Text),
        yes("parameters", Kind::List(&object(&PARAMETER))),
        no("result", Text),
    ],
};

pub static PARAMETER: Object = Object {
    name: "a parameter",
    fields: &[
        yes("default", AnyText),
        yes("description", AnyText),
        yes("enum", Kind::List(&AnyText)),
        yes("globalName", Text),
        yes("name", Text),
        yes("value", AnyText),
        yes("valueFrom", object(&VALUE_FROM)),
    ],
};

static VALUE_FROM: Object = Object {
    name: "`valueFrom`",
    fields: &[
        yes("configMapKeyRef", object(&KEY_REF)),
        yes("default", AnyText),
        no("event", Text),
        yes("expression", Text),
        no("jqFilter", Text),
        no("jsonPath", Text),
        yes("parameter", Text),
        yes("path", Text),
        yes("supplied", Any),
    ],
};

static KEY_REF: Object =
    Object { name: "a key reference", fields: &[yes("key", Text), yes("name", Text), yes("optional", Bool)] };

static ARTIFACT: Object = Object {
    name: "an artifact",
    fields: &[
        yes("archive", object(&ARCHIVE)),
        notice("archiveLogs", Bool),
        notice("artifactGC", MAP),
        no("artifactory", MAP),
        no("azure", MAP),
        no("deleted", Bool),
        yes("from", Text),
        yes("fromExpression", Text),
        no("gcs", MAP),
        no("git", MAP),
        yes("globalName", Text),
        no("hdfs", MAP),
        no("http", MAP),
        yes("mode", Int),
        yes("name", Text),
        yes("optional", Bool),
        no("oss", MAP),
        yes("path", Text),
        no("plugin", MAP),
        yes("raw", object(&RAW)),
        yes("recurseMode", Bool),
        yes("s3", object(&S3)),
        yes("subPath", Text),
    ],
};

static LOCATION: Object = Object {
    name: "`archiveLocation`",
    fields: &[
        yes("archiveLogs", Bool),
        yes("artifactory", MAP),
        yes("azure", MAP),
        yes("gcs", MAP),
        yes("git", MAP),
        yes("hdfs", MAP),
        yes("http", MAP),
        yes("oss", MAP),
        yes("plugin", MAP),
        yes("raw", object(&RAW)),
        yes("s3", object(&S3)),
    ],
};

static RAW: Object = Object { name: "`raw`", fields: &[yes("data", Text)] };

static S3: Object = Object {
    name: "`s3`",
    fields: &[
        yes("accessKeySecret", object(&KEY_REF)),
        yes("bucket", Text),
        yes("caSecret", object(&KEY_REF)),
        yes("createBucketIfNotPresent", Any),
        yes("encryptionOptions", Any),
        yes("endpoint", Text),
        yes("insecure", Bool),
        yes("key", Text),
        yes("region", Text),
        yes("roleARN", Text),
        yes("secretKeySecret", object(&KEY_REF)),
        yes("sessionTokenSecret", object(&KEY_REF)),
        yes("useSDKCreds", Bool),
    ],
};

static ARCHIVE: Object =
    Object { name: "`archive`", fields: &[yes("none", MAP), yes("tar", object(&TAR)), yes("zip", MAP)] };

static TAR: Object = Object { name: "`tar`", fields: &[yes("compressionLevel", Int)] };

static HOOK: Object = Object {
    name: "a hook",
    fields: &[
        yes("arguments", object(&ARGUMENTS)),
        yes("expression", Text),
        yes("template", Text),
        yes("templateRef", object(&TEMPLATE_REF)),
    ],
};

static POD_RESOURCES: Object = Object {
    name: "`podResources`",
    fields: &[
        yes("claims", LIST),
        yes("limits", Kind::Map(&Kind::Quantity)),
        yes("requests", Kind::Map(&Kind::Quantity)),
    ],
};

static SUSPEND: Object = Object { name: "`suspend`", fields: &[yes("duration", Text)] };

static RESOURCE: Object = Object {
    name: "`resource`",
    fields: &[
        yes("action", Text),
        yes("failureCondition", Text),
        yes("flags", TEXTS),
        yes("manifest", Text),
        yes("manifestFrom", Any),
        yes("mergeStrategy", Text),
        yes("setOwnerReference", Bool),
        yes("successCondition", Text),
    ],
};

static HTTP: Object = Object {
    name: "`http`",
    fields: &[
        yes("body", Text),
        yes("bodyFrom", Any),
        yes("headers", LIST),
        yes("insecureSkipVerify", Bool),
        yes("method", Text),
        yes("successCondition", Text),
        yes("timeoutSeconds", Int),
        yes("url", Text),
    ],
};

static CONTAINER_SET: Object = Object {
    name: "`containerSet`",
    fields: &[yes("containers", LIST), yes("retryStrategy", Any), yes("volumeMounts", LIST)],
};

static MEMOIZE: Object =
    Object { name: "`memoize`", fields: &[yes("cache", Any), yes("key", Text), yes("maxAge", Text)] };

static SYNCHRONIZATION: Object = Object {
    name: "`synchronization`",
    fields: &[
        old("mutex", Any, "mutexes: [{name: …}]"),
        yes("mutexes", LIST),
        old("semaphore", Any, "semaphores: [{configMapKeyRef: …}]"),
        yes("semaphores", LIST),
    ],
};

static METRICS: Object = Object { name: "`metrics`", fields: &[yes("prometheus", Kind::List(&object(&METRIC)))] };

static METRIC: Object = Object {
    name: "a metric",
    fields: &[
        yes("counter", Any),
        yes("gauge", Any),
        yes("help", Text),
        yes("histogram", object(&HISTOGRAM)),
        yes("labels", LIST),
        yes("name", Text),
        yes("when", Text),
    ],
};

static HISTOGRAM: Object =
    Object { name: "a histogram", fields: &[yes("buckets", Kind::List(&Number)), yes("value", Text)] };

static POD_GC: Object = Object {
    name: "`podGC`",
    fields: &[yes("deleteDelayDuration", Text), yes("labelSelector", Any), yes("strategy", Text)],
};

static TTL: Object = Object {
    name: "`ttlStrategy`",
    fields: &[yes("secondsAfterCompletion", Int), yes("secondsAfterFailure", Int), yes("secondsAfterSuccess", Int)],
};

static WORKFLOW_METADATA: Object = Object {
    name: "`workflowMetadata`",
    fields: &[yes("annotations", TEXT_MAP), yes("labels", TEXT_MAP), yes("labelsFrom", Any)],
};

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(kind: &Kind, seen: &mut Vec<&'static str>) {
        match kind {
            Kind::List(inner) | Kind::Map(inner) => walk(inner, seen),
            Kind::Object(object) if !seen.contains(&object.name) => {
                seen.push(object.name);
                let names: Vec<&str> = object.fields.iter().map(|field| field.name).collect();
                assert!(names.is_sorted_by(|a, b| a < b), "{} is not sorted, or has a field twice", object.name);
                object.fields.iter().for_each(|field| walk(&field.kind, seen));
            }
            _ => {}
        }
    }

    #[test]
    fn every_table_is_sorted_and_has_each_field_once() {
        let mut seen = Vec::new();
        walk(&object(&WORKFLOW), &mut seen);
        walk(&object(&CRON_WORKFLOW), &mut seen);
        assert!(seen.len() > 30, "{seen:?}");
    }
}
