//! The objects that Argo takes from Kubernetes: metadata, containers, volumes; and what becomes of their fields here.
//! It must never know what a field means.

use super::schema::{Kind, Object, no, notice, yes};
use Kind::{Any, Bool, Int, Quantity, Text};

const TEXTS: Kind = Kind::List(&Text);
const TEXT_MAP: Kind = Kind::Map(&Text);
const LIST: Kind = Kind::List(&Any);
const MAP: Kind = Kind::Map(&Any);

pub static METADATA: Object = Object {
    name: "`metadata`",
    fields: &[
        yes("annotations", TEXT_MAP),
        notice("creationTimestamp", Any),
        notice("deletionGracePeriodSeconds", Any),
        notice("deletionTimestamp", Any),
        notice("finalizers", TEXTS),
        yes("generateName", Text),
        notice("generation", Int),
        yes("labels", TEXT_MAP),
        notice("managedFields", LIST),
        yes("name", Text),
        yes("namespace", Text),
        notice("ownerReferences", LIST),
        notice("resourceVersion", Text),
        notice("selfLink", Text),
        notice("uid", Text),
    ],
};

pub static POD_METADATA: Object =
    Object { name: "`podMetadata`", fields: &[yes("annotations", TEXT_MAP), yes("labels", TEXT_MAP)] };

pub static CONTAINER: Object = Object {
    name: "a container",
    fields: &[
        yes("args", TEXTS),
        yes("command", TEXTS),
        yes("env", Kind::List(&Kind::Object(&ENV))),
        yes("envFrom", Kind::List(&Kind::Object(&ENV_FROM))),
        yes("image", Text),
        notice("imagePullPolicy", Text),
        notice("lifecycle", MAP),
        notice("livenessProbe", MAP),
        yes("name", Text),
        notice("ports", LIST),
        notice("readinessProbe", MAP),
        notice("resizePolicy", LIST),
        yes("resources", Kind::Object(&RESOURCES)),
        no("restartPolicy", Text),
        no("restartPolicyRules", LIST),
        notice("securityContext", MAP),
        notice("startupProbe", MAP),
        no("stdin", Bool),
        no("stdinOnce", Bool),
        notice("terminationMessagePath", Text),
        notice("terminationMessagePolicy", Text),
        no("tty", Bool),
        no("volumeDevices", LIST),
        yes("volumeMounts", Kind::List(&Kind::Object(&MOUNT))),
        yes("workingDir", Text),
    ],
};

pub static SCRIPT: Object = Object {
    name: "a script",
    fields: &[
        yes("args", TEXTS),
        yes("command", TEXTS),
        yes("env", Kind::List(&Kind::Object(&ENV))),
        yes("envFrom", Kind::List(&Kind::Object(&ENV_FROM))),
        yes("image", Text),
        notice("imagePullPolicy", Text),
        notice("lifecycle", MAP),
        notice("livenessProbe", MAP),
        yes("name", Text),
        notice("ports", LIST),
        notice("readinessProbe", MAP),
        notice("resizePolicy", LIST),
        yes("resources", Kind::Object(&RESOURCES)),
        no("restartPolicy", Text),
        no("restartPolicyRules", LIST),
        notice("securityContext", MAP),
        yes("source", Text),
        notice("startupProbe", MAP),
        no("stdin", Bool),
        no("stdinOnce", Bool),
        notice("terminationMessagePath", Text),
        notice("terminationMessagePolicy", Text),
        no("tty", Bool),
        no("volumeDevices", LIST),
        yes("volumeMounts", Kind::List(&Kind::Object(&MOUNT))),
        yes("workingDir", Text),
    ],
};

/// A user's container beside the main one (refused as a whole, so only its types are checked).
pub static INIT_CONTAINER: Object = Object {
    name: "a container",
    fields: &[
        yes("args", TEXTS),
        yes("command", TEXTS),
        yes("env", LIST),
        yes("envFrom", LIST),
        yes("image", Text),
        yes("imagePullPolicy", Text),
        yes("lifecycle", MAP),
        yes("livenessProbe", MAP),
        yes("mirrorVolumeMounts", Bool),
        yes("name", Text),
        yes("ports", LIST),
        yes("readinessProbe", MAP),
        yes("resizePolicy", LIST),
        yes("resources", Kind::Object(&RESOURCES)),
        yes("restartPolicy", Text),
        yes("restartPolicyRules", LIST),
        yes("securityContext", MAP),
        yes("startupProbe", MAP),
        yes("stdin", Bool),
        yes("stdinOnce", Bool),
        yes("terminationMessagePath", Text),
        yes("terminationMessagePolicy", Text),
        yes("tty", Bool),
        yes("volumeDevices", LIST),
        yes("volumeMounts", LIST),
        yes("workingDir", Text),
    ],
};

static ENV: Object = Object {
    name: "an environment variable",
    fields: &[yes("name", Text), yes("value", Text), yes("valueFrom", Kind::Object(&ENV_SOURCE))],
};

static ENV_SOURCE: Object = Object {
    name: "`valueFrom`",
    fields: &[
        yes("configMapKeyRef", Kind::Object(&KEY)),
        no("fieldRef", MAP),
        no("fileKeyRef", MAP),
        no("resourceFieldRef", MAP),
        yes("secretKeyRef", Kind::Object(&KEY)),
    ],
};

static KEY: Object =
    Object { name: "a key reference", fields: &[yes("key", Text), yes("name", Text), yes("optional", Bool)] };

static ENV_FROM: Object = Object {
    name: "`envFrom`",
    fields: &[
        yes("configMapRef", Kind::Object(&REFERENCE)),
        yes("prefix", Text),
        yes("secretRef", Kind::Object(&REFERENCE)),
    ],
};

static REFERENCE: Object = Object { name: "a reference", fields: &[yes("name", Text), yes("optional", Bool)] };

static CLAIM: Object = Object { name: "a claim", fields: &[yes("claimName", Text), yes("readOnly", Bool)] };

static CONFIG_MAP_VOLUME: Object = Object {
    name: "`configMap`",
    fields: &[
        notice("defaultMode", Int),
        yes("items", Kind::List(&Kind::Object(&KEY_PATH))),
        yes("name", Text),
        yes("optional", Bool),
    ],
};

static SECRET_VOLUME: Object = Object {
    name: "`secret`",
    fields: &[
        notice("defaultMode", Int),
        yes("items", Kind::List(&Kind::Object(&KEY_PATH))),
        yes("optional", Bool),
        yes("secretName", Text),
    ],
};

static KEY_PATH: Object =
    Object { name: "an item", fields: &[yes("key", Text), notice("mode", Int), yes("path", Text)] };

static MOUNT: Object = Object {
    name: "a volume mount",
    fields: &[
        yes("mountPath", Text),
        notice("mountPropagation", Text),
        yes("name", Text),
        yes("readOnly", Bool),
        notice("recursiveReadOnly", Text),
        yes("subPath", Text),
        no("subPathExpr", Text),
    ],
};

static RESOURCES: Object = Object {
    name: "`resources`",
    fields: &[no("claims", LIST), yes("limits", Kind::Map(&Quantity)), yes("requests", Kind::Map(&Quantity))],
};

pub static VOLUME: Object = Object {
    name: "a volume",
    fields: &[
        no("awsElasticBlockStore", MAP),
        no("azureDisk", MAP),
        no("azureFile", MAP),
        no("cephfs", MAP),
        no("cinder", MAP),
        yes("configMap", Kind::Object(&CONFIG_MAP_VOLUME)),
        no("csi", MAP),
        no("downwardAPI", MAP),
        yes("emptyDir", Kind::Object(&EMPTY_DIR)),
        no("ephemeral", MAP),
        no("fc", MAP),
        no("flexVolume", MAP),
        no("flocker", MAP),
        no("gcePersistentDisk", MAP),
        no("gitRepo", MAP),
        no("glusterfs", MAP),
        no("hostPath", MAP),
        no("image", MAP),
        no("iscsi", MAP),
        yes("name", Text),
        no("nfs", MAP),
        yes("persistentVolumeClaim", Kind::Object(&CLAIM)),
        no("photonPersistentDisk", MAP),
        no("portworxVolume", MAP),
        no("projected", MAP),
        no("quobyte", MAP),
        no("rbd", MAP),
        no("scaleIO", MAP),
        yes("secret", Kind::Object(&SECRET_VOLUME)),
        no("storageos", MAP),
        no("vsphereVolume", MAP),
    ],
};

static EMPTY_DIR: Object =
    Object { name: "`emptyDir`", fields: &[notice("medium", Text), notice("sizeLimit", Quantity)] };
