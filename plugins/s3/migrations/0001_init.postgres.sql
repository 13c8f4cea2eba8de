CREATE TABLE "s3_instances" (
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
    "bucket_name" text NOT NULL,
    "encryption" text NOT NULL,
    "versioning" boolean NOT NULL,
    "mfa_delete" boolean NOT NULL,
    "mfa_secret" text NULL,
    "cpu" bigint NOT NULL,
    "ram_mb" bigint NOT NULL,
    "disk_gb" bigint NOT NULL,
    "secret_access_key" text NOT NULL,
    "access_key_id" text NULL,
    "instance_key" text NULL,
    "usage_token" text NULL,
    "restarts" bigint NULL,
    "objects" bigint NULL,
    "bytes" bigint NULL,
    "requests" bigint NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "s3_instances_name_project_id_key" ON "s3_instances" ("name", "project_id");
CREATE INDEX "s3_instances_project_id_id_idx" ON "s3_instances" ("project_id", "id");
CREATE INDEX "s3_instances_project_id_name_idx" ON "s3_instances" ("project_id", "name");
CREATE INDEX "s3_instances_status_id_idx" ON "s3_instances" ("status", "id");
CREATE INDEX "s3_instances_project_id_status_id_idx" ON "s3_instances" ("project_id", "status", "id");

CREATE TABLE "s3_buckets" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" uuid NOT NULL REFERENCES "s3_instances" ("id") ON DELETE RESTRICT,
    "parent_id" uuid NOT NULL REFERENCES "s3_instances" ("id") ON DELETE RESTRICT,
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
    "name" text COLLATE "C" NOT NULL,
    "versioning" boolean NOT NULL,
    "quota_bytes" bigint NOT NULL,
    "public" boolean NOT NULL,
    "object_lock" boolean NOT NULL,
    "retention_mode" text NULL,
    "retention_days" bigint NULL,
    "objects" bigint NULL,
    "bytes" bigint NULL,
    "purge" boolean NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "s3_buckets_parent_id_name_key" ON "s3_buckets" ("parent_id", "name");
CREATE INDEX "s3_buckets_instance_id_id_idx" ON "s3_buckets" ("instance_id", "id");
CREATE INDEX "s3_buckets_parent_id_id_idx" ON "s3_buckets" ("parent_id", "id");
CREATE INDEX "s3_buckets_parent_id_status_id_idx" ON "s3_buckets" ("parent_id", "status", "id");

CREATE TABLE "s3_policies" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" uuid NOT NULL REFERENCES "s3_instances" ("id") ON DELETE RESTRICT,
    "parent_id" uuid NOT NULL REFERENCES "s3_instances" ("id") ON DELETE RESTRICT,
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
    "name" text COLLATE "C" NOT NULL,
    "document" jsonb NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "s3_policies_parent_id_name_key" ON "s3_policies" ("parent_id", "name");
CREATE INDEX "s3_policies_instance_id_id_idx" ON "s3_policies" ("instance_id", "id");
CREATE INDEX "s3_policies_parent_id_id_idx" ON "s3_policies" ("parent_id", "id");
CREATE INDEX "s3_policies_parent_id_status_id_idx" ON "s3_policies" ("parent_id", "status", "id");

CREATE TABLE "s3_users" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" uuid NOT NULL REFERENCES "s3_instances" ("id") ON DELETE RESTRICT,
    "parent_id" uuid NOT NULL REFERENCES "s3_instances" ("id") ON DELETE RESTRICT,
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
    "name" text COLLATE "C" NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "s3_users_parent_id_name_key" ON "s3_users" ("parent_id", "name");
CREATE INDEX "s3_users_instance_id_id_idx" ON "s3_users" ("instance_id", "id");
CREATE INDEX "s3_users_parent_id_id_idx" ON "s3_users" ("parent_id", "id");
CREATE INDEX "s3_users_parent_id_status_id_idx" ON "s3_users" ("parent_id", "status", "id");

CREATE TABLE "s3_access_keys" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" uuid NOT NULL REFERENCES "s3_instances" ("id") ON DELETE RESTRICT,
    "parent_id" uuid NOT NULL REFERENCES "s3_users" ("id") ON DELETE RESTRICT,
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
    "access_key_id" text COLLATE "C" NOT NULL,
    "secret_access_key" text NOT NULL,
    "enabled" boolean NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "s3_access_keys_parent_id_access_key_id_key" ON "s3_access_keys" ("parent_id", "access_key_id");
CREATE INDEX "s3_access_keys_instance_id_id_idx" ON "s3_access_keys" ("instance_id", "id");
CREATE INDEX "s3_access_keys_parent_id_id_idx" ON "s3_access_keys" ("parent_id", "id");
CREATE INDEX "s3_access_keys_parent_id_status_id_idx" ON "s3_access_keys" ("parent_id", "status", "id");

CREATE TABLE "s3_user_policies" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" uuid NOT NULL REFERENCES "s3_instances" ("id") ON DELETE RESTRICT,
    "parent_id" uuid NOT NULL REFERENCES "s3_users" ("id") ON DELETE RESTRICT,
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
    "name" text COLLATE "C" NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "s3_user_policies_parent_id_name_key" ON "s3_user_policies" ("parent_id", "name");
CREATE INDEX "s3_user_policies_instance_id_id_idx" ON "s3_user_policies" ("instance_id", "id");
CREATE INDEX "s3_user_policies_parent_id_id_idx" ON "s3_user_policies" ("parent_id", "id");
CREATE INDEX "s3_user_policies_parent_id_status_id_idx" ON "s3_user_policies" ("parent_id", "status", "id");
