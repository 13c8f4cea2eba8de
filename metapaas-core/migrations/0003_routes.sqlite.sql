CREATE TABLE "metapaas_ports" (
    "port" integer NOT NULL,
    "instance_id" text NOT NULL,
    "name" text NOT NULL,
    "backends" text NOT NULL,
    "created_at" integer NOT NULL,
    PRIMARY KEY ("port")
);
CREATE UNIQUE INDEX "metapaas_ports_instance_id_name_key" ON "metapaas_ports" ("instance_id", "name");

CREATE TABLE "metapaas_routes" (
    "host" text NOT NULL,
    "instance_id" text NOT NULL,
    "name" text NOT NULL,
    "backends" text NOT NULL,
    "created_at" integer NOT NULL,
    PRIMARY KEY ("host")
);
CREATE INDEX "metapaas_routes_instance_id_idx" ON "metapaas_routes" ("instance_id");
