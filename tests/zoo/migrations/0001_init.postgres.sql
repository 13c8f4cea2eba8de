CREATE TABLE "zoo_instances" (
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
    "site" text COLLATE "C" NOT NULL,
    "open" boolean NOT NULL,
    "paths" bigint NOT NULL,
    "height" bigint NULL,
    "price" double precision NOT NULL,
    "sign" text NOT NULL,
    "gate" text NOT NULL,
    "map_id" uuid NULL,
    "since" timestamp with time zone NULL,
    "visit" bigint NULL,
    "climate" text NOT NULL,
    "shops" jsonb NOT NULL,
    "animals" jsonb NOT NULL,
    "notes" jsonb NULL,
    "domain" text NULL,
    "contact" text NULL,
    "pictures" text NULL,
    "network" text NULL,
    "key" text NULL,
    "master_key" text NOT NULL,
    "partner" uuid NULL REFERENCES "zoo_instances" ("id") ON DELETE RESTRICT,
    "visitors" bigint NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "zoo_instances_name_project_id_key" ON "zoo_instances" ("name", "project_id");
CREATE INDEX "zoo_instances_project_id_id_idx" ON "zoo_instances" ("project_id", "id");
CREATE UNIQUE INDEX "zoo_instances_project_id_site_key" ON "zoo_instances" ("project_id", "site");
CREATE INDEX "zoo_instances_partner_idx" ON "zoo_instances" ("partner");
CREATE INDEX "zoo_instances_project_id_name_idx" ON "zoo_instances" ("project_id", "name");
CREATE INDEX "zoo_instances_status_id_idx" ON "zoo_instances" ("status", "id");
CREATE INDEX "zoo_instances_project_id_status_id_idx" ON "zoo_instances" ("project_id", "status", "id");

CREATE TABLE "zoo_houses" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" uuid NOT NULL REFERENCES "zoo_instances" ("id") ON DELETE RESTRICT,
    "parent_id" uuid NOT NULL REFERENCES "zoo_instances" ("id") ON DELETE RESTRICT,
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
    "degrees" bigint NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "zoo_houses_parent_id_name_key" ON "zoo_houses" ("parent_id", "name");
CREATE INDEX "zoo_houses_instance_id_id_idx" ON "zoo_houses" ("instance_id", "id");
CREATE INDEX "zoo_houses_parent_id_id_idx" ON "zoo_houses" ("parent_id", "id");
CREATE INDEX "zoo_houses_parent_id_status_id_idx" ON "zoo_houses" ("parent_id", "status", "id");

CREATE TABLE "zoo_cages" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" uuid NOT NULL REFERENCES "zoo_instances" ("id") ON DELETE RESTRICT,
    "parent_id" uuid NOT NULL REFERENCES "zoo_houses" ("id") ON DELETE RESTRICT,
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
    "animal" text NOT NULL,
    "food" uuid NULL REFERENCES "zoo_houses" ("id") ON DELETE RESTRICT,
    PRIMARY KEY ("id")
);
CREATE INDEX "zoo_cages_instance_id_id_idx" ON "zoo_cages" ("instance_id", "id");
CREATE INDEX "zoo_cages_parent_id_id_idx" ON "zoo_cages" ("parent_id", "id");
CREATE INDEX "zoo_cages_food_idx" ON "zoo_cages" ("food");
CREATE INDEX "zoo_cages_parent_id_status_id_idx" ON "zoo_cages" ("parent_id", "status", "id");
