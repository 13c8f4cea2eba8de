ALTER TABLE "app_instances" ADD COLUMN "port" integer NULL;
