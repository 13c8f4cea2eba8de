CREATE TABLE "app_instances" (
    "id" text NOT NULL,
    "project_id" text NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "name" text NOT NULL,
    "description" text NOT NULL,
    "version" text NOT NULL,
    "deletion_protection" boolean NULL,
    "labels" text NOT NULL,
    "status" text NOT NULL,
    "conditions" text NOT NULL,
    "nodes" text NOT NULL,
    "generation" integer NOT NULL,
    "observed_generation" integer NOT NULL,
    "revision" integer NOT NULL,
    "created_at" integer NOT NULL,
    "updated_at" integer NOT NULL,
    "deleting_at" integer NULL,
    "repo" text NOT NULL,
    "git_ref" text NOT NULL,
    "subdir" text NOT NULL,
    "runtime" text NULL,
    "deploy_key" text NULL,
    "command" text NULL,
    "replicas" integer NOT NULL,
    "cpu" double NOT NULL,
    "ram_mb" integer NOT NULL,
    "health_path" text NULL,
    "domains" text NOT NULL,
    "build_token" text NOT NULL,
    "url" text NULL,
    "release" integer NULL,
    "deploys" integer NULL,
    "restarts" integer NULL,
    "rollbacks" integer NULL,
    "rollback_to" integer NULL,
    "stopped" boolean NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "app_instances_name_project_id_key" ON "app_instances" ("name", "project_id");
CREATE INDEX "app_instances_project_id_id_idx" ON "app_instances" ("project_id", "id");
CREATE INDEX "app_instances_project_id_name_idx" ON "app_instances" ("project_id", "name");
CREATE INDEX "app_instances_status_id_idx" ON "app_instances" ("status", "id");
CREATE INDEX "app_instances_project_id_status_id_idx" ON "app_instances" ("project_id", "status", "id");

CREATE TABLE "app_env_vars" (
    "id" text NOT NULL,
    "project_id" text NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" text NOT NULL REFERENCES "app_instances" ("id") ON DELETE RESTRICT,
    "parent_id" text NOT NULL REFERENCES "app_instances" ("id") ON DELETE RESTRICT,
    "description" text NOT NULL,
    "labels" text NOT NULL,
    "status" text NOT NULL,
    "conditions" text NOT NULL,
    "generation" integer NOT NULL,
    "observed_generation" integer NOT NULL,
    "held_generation" integer NOT NULL,
    "revision" integer NOT NULL,
    "created_at" integer NOT NULL,
    "updated_at" integer NOT NULL,
    "deleting_at" integer NULL,
    "key" text NOT NULL,
    "value" text NULL,
    "secret" text NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "app_env_vars_parent_id_key_key" ON "app_env_vars" ("parent_id", "key");
CREATE INDEX "app_env_vars_instance_id_id_idx" ON "app_env_vars" ("instance_id", "id");
CREATE INDEX "app_env_vars_parent_id_id_idx" ON "app_env_vars" ("parent_id", "id");
CREATE INDEX "app_env_vars_parent_id_status_id_idx" ON "app_env_vars" ("parent_id", "status", "id");

CREATE TABLE "app_releases" (
    "id" text NOT NULL,
    "project_id" text NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" text NOT NULL REFERENCES "app_instances" ("id") ON DELETE RESTRICT,
    "parent_id" text NOT NULL REFERENCES "app_instances" ("id") ON DELETE RESTRICT,
    "description" text NOT NULL,
    "labels" text NOT NULL,
    "status" text NOT NULL,
    "conditions" text NOT NULL,
    "generation" integer NOT NULL,
    "observed_generation" integer NOT NULL,
    "held_generation" integer NOT NULL,
    "revision" integer NOT NULL,
    "created_at" integer NOT NULL,
    "updated_at" integer NOT NULL,
    "deleting_at" integer NULL,
    "number" integer NOT NULL,
    "reason" text NOT NULL,
    "build" integer NOT NULL,
    "repo" text NOT NULL,
    "git_ref" text NOT NULL,
    "subdir" text NOT NULL,
    "command" text NULL,
    "env_names" text NOT NULL,
    "env" text NOT NULL,
    "source_key" text NOT NULL,
    "config_key" text NOT NULL,
    "rollbacks" integer NOT NULL,
    "state" text NULL,
    "commit" text NULL,
    "image" text NULL,
    "language" text NULL,
    "default_command" text NULL,
    "message" text NULL,
    "build_log" text NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "app_releases_parent_id_number_key" ON "app_releases" ("parent_id", "number");
CREATE INDEX "app_releases_instance_id_id_idx" ON "app_releases" ("instance_id", "id");
CREATE INDEX "app_releases_parent_id_id_idx" ON "app_releases" ("parent_id", "id");
CREATE INDEX "app_releases_parent_id_status_id_idx" ON "app_releases" ("parent_id", "status", "id");
