CREATE TABLE "app_instances" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "name" text COLLATE "C" NOT NULL,
    "description" text NOT NULL,
    "version" text NOT NULL,
    "deletion_protection" boolean NULL,
    "labels" jsonb NOT NULL,
    "status" text COLLATE "C" NOT NULL,
    "conditions" jsonb NOT NULL,
    "nodes" jsonb NOT NULL,
    "generation" bigint NOT NULL,
    "observed_generation" bigint NOT NULL,
    "revision" bigint NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    "updated_at" timestamp with time zone NOT NULL,
    "deleting_at" timestamp with time zone NULL,
    "repo" text NOT NULL,
    "git_ref" text NOT NULL,
    "subdir" text NOT NULL,
    "runtime" text NULL,
    "deploy_key" text NULL,
    "command" jsonb NULL,
    "replicas" bigint NOT NULL,
    "cpu" double precision NOT NULL,
    "ram_mb" bigint NOT NULL,
    "health_path" text NULL,
    "domains" jsonb NOT NULL,
    "build_token" text NOT NULL,
    "url" text NULL,
    "release" bigint NULL,
    "deploys" bigint NULL,
    "restarts" bigint NULL,
    "rollbacks" bigint NULL,
    "rollback_to" bigint NULL,
    "stopped" boolean NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "app_instances_name_project_id_key" ON "app_instances" ("name", "project_id");
CREATE INDEX "app_instances_project_id_id_idx" ON "app_instances" ("project_id", "id");
CREATE INDEX "app_instances_project_id_name_idx" ON "app_instances" ("project_id", "name");
CREATE INDEX "app_instances_status_id_idx" ON "app_instances" ("status", "id");
CREATE INDEX "app_instances_project_id_status_id_idx" ON "app_instances" ("project_id", "status", "id");

CREATE TABLE "app_env_vars" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" uuid NOT NULL REFERENCES "app_instances" ("id") ON DELETE RESTRICT,
    "parent_id" uuid NOT NULL REFERENCES "app_instances" ("id") ON DELETE RESTRICT,
    "description" text NOT NULL,
    "labels" jsonb NOT NULL,
    "status" text COLLATE "C" NOT NULL,
    "conditions" jsonb NOT NULL,
    "generation" bigint NOT NULL,
    "observed_generation" bigint NOT NULL,
    "held_generation" bigint NOT NULL,
    "revision" bigint NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    "updated_at" timestamp with time zone NOT NULL,
    "deleting_at" timestamp with time zone NULL,
    "key" text COLLATE "C" NOT NULL,
    "value" text NULL,
    "secret" text NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "app_env_vars_parent_id_key_key" ON "app_env_vars" ("parent_id", "key");
CREATE INDEX "app_env_vars_instance_id_id_idx" ON "app_env_vars" ("instance_id", "id");
CREATE INDEX "app_env_vars_parent_id_id_idx" ON "app_env_vars" ("parent_id", "id");
CREATE INDEX "app_env_vars_parent_id_status_id_idx" ON "app_env_vars" ("parent_id", "status", "id");

CREATE TABLE "app_releases" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" uuid NOT NULL REFERENCES "app_instances" ("id") ON DELETE RESTRICT,
    "parent_id" uuid NOT NULL REFERENCES "app_instances" ("id") ON DELETE RESTRICT,
    "description" text NOT NULL,
    "labels" jsonb NOT NULL,
    "status" text COLLATE "C" NOT NULL,
    "conditions" jsonb NOT NULL,
    "generation" bigint NOT NULL,
    "observed_generation" bigint NOT NULL,
    "held_generation" bigint NOT NULL,
    "revision" bigint NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    "updated_at" timestamp with time zone NOT NULL,
    "deleting_at" timestamp with time zone NULL,
    "number" bigint NOT NULL,
    "reason" text NOT NULL,
    "build" bigint NOT NULL,
    "repo" text NOT NULL,
    "git_ref" text NOT NULL,
    "subdir" text NOT NULL,
    "command" jsonb NULL,
    "env_names" jsonb NOT NULL,
    "env" text NOT NULL,
    "source_key" text NOT NULL,
    "config_key" text NOT NULL,
    "rollbacks" bigint NOT NULL,
    "state" text NULL,
    "commit" text NULL,
    "image" text NULL,
    "language" text NULL,
    "default_command" jsonb NULL,
    "message" text NULL,
    "build_log" text NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "app_releases_parent_id_number_key" ON "app_releases" ("parent_id", "number");
CREATE INDEX "app_releases_instance_id_id_idx" ON "app_releases" ("instance_id", "id");
CREATE INDEX "app_releases_parent_id_id_idx" ON "app_releases" ("parent_id", "id");
CREATE INDEX "app_releases_parent_id_status_id_idx" ON "app_releases" ("parent_id", "status", "id");
