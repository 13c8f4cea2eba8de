ALTER TABLE "app_instances" ALTER COLUMN "build_token" DROP NOT NULL;
